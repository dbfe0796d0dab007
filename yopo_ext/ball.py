from dataclasses import dataclass, replace
@dataclass(frozen=True)
class Ball:
    eps: float
    alpha: float
    bounds: tuple = (0.0, 1.0)
    norm: str = "linf"
    def scaled(self, s): return replace(self, eps=self.eps*s, alpha=self.alpha*s)
