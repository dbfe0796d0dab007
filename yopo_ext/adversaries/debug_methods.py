from dataclasses import dataclass
from functools import partial
from ..options import check_options, option
from ..objectives import cross_entropy, trades
from .method import Method, NoOptions
from . import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, YOPO, Free, Natural
BN=("train","eval")
class S:
    def __post_init__(self): check_options(self)
@dataclass(frozen=True)
class Bn(S): bn_mode: str|None = option(None,"bn",choices=BN)
@dataclass(frozen=True)
class Pgd(Bn): pgd_steps: int = option(10,"steps",least=1)
@dataclass(frozen=True)
class FreeO(S): m: int = option(5,"m",least=1)
@dataclass(frozen=True)
class YopoO(S):
    m: int = option(5,"m",least=1)
    n: int = option(3,"n",least=0)
    reduction: str = option("mean","r",choices=("mean","sum"))
    first_layer_grad: str = option("hamiltonian","r",choices=("hamiltonian","backprop","both"))
@dataclass(frozen=True)
class TY(Bn):
    m: int = option(5,"m",least=1)
    n: int = option(3,"n",least=0)
def kw(i, bn=True):
    d=dict(eps=i.ball.eps, alpha=i.ball.alpha, norm=i.ball.norm)
    if getattr(i.options,"bn_mode",None): d["bn_mode"]=i.options.bn_mode
    return d
def attach(a,i):
    cls=type(a)
    class W(cls):
        @property
        def ball(self): return self.__dict__["_ball"]
        @ball.setter
        def ball(self,b): self.__dict__["_ball"]=b; self.eps=b.eps; self.alpha=b.alpha
    W.__name__=cls.__name__
    a.__class__=W; a.ball=i.ball; return a
METHODS=(
 Method("natural","natural","n",lambda i: Natural(i.model,loss=i.objective), adversarial=False),
 Method("fast","FastAT","f",lambda i: attach(FGSM(i.model,loss=i.objective,generator=i.generator,**kw(i)),i),Bn,step_size=lambda e,o:1.25*e),
 Method("n-fgsm","N-FGSM","f",lambda i: attach(NFGSM(i.model,i.ball.eps,i.ball.alpha,loss=i.objective,generator=i.generator,**({"bn_mode":i.options.bn_mode} if i.options.bn_mode else {})),i),Bn,step_size=lambda e,o:e),
 Method("pgd","PGD","f",lambda i: attach(PGD(i.model,i.options.pgd_steps,loss=i.objective,generator=i.generator,**kw(i)),i),Pgd,("pgd_steps",)),
 Method("free","Free","f",lambda i: attach(Free(i.model,i.options.m,loss=i.objective,**kw(i)),i),FreeO,("m",),step_size=lambda e,o:e),
 Method("yopo","YOPO","f",lambda i: attach(YOPO(i.model,i.first_layer,i.options.m,i.options.n,loss=i.objective,generator=i.generator,reduction=i.options.reduction,first_layer_grad=i.options.first_layer_grad,**kw(i)),i),YopoO,("m","n")),
 Method("trades","TRADES","f",lambda i: attach(TRADES(i.model,i.objective,i.options.pgd_steps,generator=i.generator,**kw(i)),i),Pgd,("pgd_steps",),objective="trades"),
 Method("trades-yopo","TRADES-YOPO","f",lambda i: attach(TRADESYOPO(i.model,i.first_layer,i.objective,i.options.m,i.options.n,generator=i.generator,**kw(i)),i),TY,("m","n"),objective="trades"),
)
