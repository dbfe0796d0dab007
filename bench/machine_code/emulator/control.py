# SPDX-License-Identifier: MIT
"""Branches, divergence, convergence and barriers.

A warp is one or more groups of lanes, each with a program counter and with what it waits for. Groups meet again at the
convergence barriers that the compiler put there; a block's barriers are met by whole warps.
"""

import numpy as np

CONTROL = {"BRA", "BRX", "BSSY", "BSYNC", "BREAK", "BAR", "WARPSYNC", "CALL", "RET", "EXIT"}


class Control:
    def i_BRA(self, i, mods, ops):
        return self.labels[ops[-1].strip("`()")]

    def i_BSSY(self, i, mods, ops):
        return int(ops[0][1:]), self.labels[ops[1].strip("`()")]

    def i_BSYNC(self, i, mods, ops):
        return int(ops[0][1:])

    def i_BREAK(self, i, mods, ops):
        return int(ops[-1][1:])

    def i_CALL(self, i, mods, ops):
        return self.labels[ops[-1].strip("`()")]

    def i_RET(self, i, mods, ops):
        return int(ops[0].split()[0][1:])

    def i_BRX(self, i, mods, ops):
        return int(ops[0].split()[0][1:])

    def i_BAR(self, i, mods, ops):
        """(kind, barrier, threads): bar.sync 0 of the whole block, or a named one of some warps."""
        kind = mods[0]
        assert kind in ("SYNC", "ARV"), "only bar.sync and bar.arrive"
        name = self.src(ops[0])
        count = self.src(ops[1]) if len(ops) > 1 else None
        return kind, name, count

    def i_WARPSYNC(self, i, mods, ops):
        return None

    def i_EXIT(self, i, mods, ops):
        return None

    # ---- running ----

    def open_barrier(self):
        """All warps have come to the block's barrier."""
        if self.races:
            self.races.join(range(self.nw), [self.races.arrive(w.id) for w in self.warps])
        for w in self.warps:
            for g in w.groups:
                g[2] = None
            self.merge(w)

    def named_barrier(self, w, kind, name, threads):
        e = self.arrived.setdefault(name, [threads, 0, [], []])
        assert e[0] == threads, f"barrier {name} with {threads} and {e[0]} threads"
        e[1] += 32
        if self.races:
            e[3].append(self.races.arrive(w.id))
        if kind == "SYNC":
            e[2].append(w)
        if e[1] == threads:
            if self.races:
                self.races.join([x.id for x in e[2]], e[3])
            for x in e[2]:
                for g in x.groups:
                    if g[2] == ("named", name):
                        g[2] = None
            del self.arrived[name]

    @staticmethod
    def merge(w):
        by = {}
        for g in w.groups:
            k = (g[0], g[2])
            if k in by:
                by[k][1] = by[k][1] | g[1]
            else:
                by[k] = [g[0], g[1], g[2]]
        w.groups = list(by.values())
        for g in w.groups:
            if g[1].all():
                g[1] = w.all

    def release(self, w):
        """Lets the lanes of a convergence point go once all of them are there."""
        for b, mask in list(w.B.items()):
            waiting = [g for g in w.groups if g[2] == ("b", b)]
            if waiting and (np.any([g[1] for g in waiting], axis=0) | ~w.live | ~mask).all():
                for g in waiting:
                    g[2] = None
                self.merge(w)
                return True
        waiting = [g for g in w.groups if g[2] == "ws"]
        if waiting:
            if not (np.any([g[1] for g in waiting], axis=0) | ~w.live).all():
                raise RuntimeError(f"warp {w.id}: WARPSYNC that not all lanes reach")
            for g in waiting:
                g[2] = None
            self.merge(w)
            return True
        return False

    def split(self, w, group, parts):
        w.groups = [g for g in w.groups if g is not group] + [[p, m, None] for p, m in parts if m.any()]
        self.merge(w)

    def control(self, w, group, pc, mask, m, base, act):
        """The next program counter of the group, or None where it has split, waits or has ended."""
        if base in ("BRA", "CALL"):
            ins = self.ins[pc]
            if "DIV" in ins.modifiers or "ANY" in ins.modifiers:
                return pc + 1  # taken only by a warp that has diverged where it must not have
            if base == "BRA" and len(ins.operands) > 1:
                m = m & self.pred(ins.operands[0])(w)
            if (m == mask).all():
                return act
            if not m.any():
                return pc + 1
            self.split(w, group, [(act, m), (pc + 1, mask & ~m)])
            return None
        if base in ("RET", "BRX"):
            if not m.any():
                return pc + 1
            targets = w.R[act]
            self.split(
                w,
                group,
                [(self.index_of[int(v)], m & (targets == v)) for v in np.unique(targets[m])] + [(pc + 1, mask & ~m)],
            )
            return None
        if base == "BSSY":
            w.B[act[0]] = mask.copy()
            return pc + 1
        if base == "BREAK":
            w.B[act] = w.B[act] & ~m
            return pc + 1
        if base == "BSYNC":
            b = w.B.get(act)
            if b is None or (mask | ~b | ~w.live).all() or not m.any():
                return pc + 1
            group[0], group[2] = pc + 1, ("b", act)
            return None
        if base == "WARPSYNC":
            if (mask | ~w.live).all():
                return pc + 1
            group[0], group[2] = pc + 1, "ws"
            return None
        if base == "BAR":
            if not m.any():
                return pc + 1
            kind, name, count = act
            lane = int(np.nonzero(m)[0][0])
            number, threads = int(name(w)[lane]), int(count(w)[lane]) if count else 32 * self.nw
            self.barriers += 1
            self.barrier_sizes[w.id, len(self.trace[w.id]) - 1] = number, threads // 32, kind == "SYNC"
            if kind == "SYNC" and threads == 32 * self.nw and number == 0:
                group[0], group[2] = pc + 1, "bar"
                return None
            assert (m | ~w.live).all(), f"named barrier in a part of a warp: {self.ins[pc]}"
            group[0] = pc + 1
            if kind == "SYNC":
                group[2] = ("named", number)
            self.named_barrier(w, kind, number, threads)
            return None if group[2] is not None or kind == "SYNC" else pc + 1
        assert base == "EXIT"
        w.live = w.live & ~m
        self.split(w, group, [(pc + 1, mask & ~m)])
        return None
