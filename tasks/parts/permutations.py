"""Sets of orders of nine tiles that differ from each other in many places.

The distance of two orders is the number of places that hold different tiles (Hamming). No set of K
orders has a greater mean distance than 8 K / (K - 1), and one of distance 8 throughout has no more
than 72 orders, of 7 no more than 504. Sharply transitive groups reach both bounds.
"""

from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Orders = NDArray[np.int64]  # [K, 9], which tile is shown in each place

TILES = 9
LARGEST = 1512


def spread_orders(count: int) -> Orders:
    """Orders as far apart as can be: part of the smallest group that has so many.

    AGL(1, 9), 72 orders 8 places apart; PGL(2, 8), 504 orders 7 apart; PΓL(2, 8), 1512 orders 6
    apart. The orders stand coset by coset of a group that takes every tile to every place once, so
    that any multiple of 9 of them also has the greatest mean.

    Raises:
        InputError: fewer than 2 or more than 1512.
    """
    if not 2 <= count <= LARGEST:
        raise InputError(f"classes is a number of orders from 2 to {LARGEST}, got {count}")
    for group in (affine_group, projective_group, semilinear_group):
        orders = group()
        if len(orders) >= count:
            break
    return orders[:count]


@cache
def affine_group() -> Orders:
    """AGL(1, 9): x → a x + b over the field of nine elements, a not 0."""
    field = [(u, v) for u in range(3) for v in range(3)]

    def times(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        # u + v i with i² = -1.
        return (a[0] * b[0] - a[1] * b[1]) % 3, (a[0] * b[1] + a[1] * b[0]) % 3

    def image(a: tuple[int, int], b: tuple[int, int], x: tuple[int, int]) -> int:
        y = times(a, x)
        return field.index(((y[0] + b[0]) % 3, (y[1] + b[1]) % 3))

    return np.array([[image(a, b, x) for x in field] for a in field[1:] for b in field])


@cache
def projective_group() -> Orders:
    """PGL(2, 8): x → (a x + b) / (c x + d) over the field of eight elements and infinity."""
    maps = {
        tuple(_fraction(a, b, c, d, x) for x in range(9))
        for a in range(8)
        for b in range(8)
        for c in range(8)
        for d in range(8)
        if _times(a, d) ^ _times(b, c)
    }
    return _by_cosets(maps)


@cache
def semilinear_group() -> Orders:
    """PΓL(2, 8): the same after x → x, x² or x⁴."""
    squares = [*(_times(x, x) for x in range(8)), 8]
    turns = [list(range(9)), squares, [squares[x] for x in squares]]
    maps = {
        tuple(order[turn[x]] for x in range(9)) for order in projective_group() for turn in turns
    }
    return _by_cosets({tuple(map(int, order)) for order in maps})


def _times(a: int, b: int) -> int:
    """Product in the field of eight elements: polynomials over two, modulo x³ + x + 1."""
    product = 0
    for k in range(3):
        if b >> k & 1:
            product ^= a << k
    for k in (4, 3):
        if product >> k & 1:
            product ^= 0b1011 << (k - 3)
    return product


def _fraction(a: int, b: int, c: int, d: int, x: int) -> int:
    """(a x + b) / (c x + d), where 8 stands for infinity."""
    above, below = (a, c) if x == 8 else (_times(a, x) ^ b, _times(c, x) ^ d)
    if below == 0:
        return 8
    return next(q for q in range(8) if _times(q, below) == above)


def _by_cosets(maps: set[tuple[int, ...]]) -> Orders:
    """A group's orders, nine by nine: each nine take every tile to every place once."""
    turn = next(m for m in sorted(maps) if _cycle(m) == TILES)
    found, left = [], set(maps)
    for order in sorted(maps):
        while order in left:
            left.remove(order)
            found.append(order)
            order = tuple(turn[x] for x in order)
    return np.array(found)


def _cycle(order: tuple[int, ...]) -> int:
    """How many steps take 0 back to 0."""
    at, steps = order[0], 1
    while at:
        at, steps = order[at], steps + 1
    return steps


@cache
def greedy_orders(count: int) -> Orders:
    """The paper's set (Noroozi & Favaro 2016, algorithm 1): each is the farthest on average.

    Orders that are equally far are taken as a fixed shuffle has them.

    Raises:
        InputError: fewer than 2.
    """
    if count < 2:
        raise InputError(f"classes is a number of orders from 2 on, got {count}")
    everyone = np.array(list(permutations(range(TILES))), np.int8)
    everyone = np.random.default_rng(0).permutation(everyone)
    places = np.ascontiguousarray(everyone.T)
    # Of each order, in how many places it is like those chosen so far, all taken together.
    alike, chosen = np.zeros(len(everyone), np.int32), [0]
    while len(chosen) < count:
        for place, tile in zip(places, everyone[chosen[-1]], strict=True):
            alike += place == tile
        alike[chosen[-1]] = count * TILES
        chosen.append(int(alike.argmin()))
    return everyone[chosen].astype(np.int64)


def distances(orders: Orders) -> Orders:
    """Distances of every two of K orders: [K (K - 1) / 2]."""
    first, second = np.triu_indices(len(orders), 1)
    return (orders[first] != orders[second]).sum(1)
