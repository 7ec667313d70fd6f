# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-def,untyped-decorator,no-any-return"
# ruff: noqa: N803 (constants of a program are upper-case, as Triton's own)
"""Triton programs for attention within short sequences that are concatenated.

A sequence is cut into tiles of BLOCK tokens; a program computes one tile of one head. FlashAttention's tiles hold 128
queries, which for sequences of about 30 tokens are mostly empty. Tiles are numbered so that they need not be counted
beforehand: the first tile of sequence s, which begins at token b, has number b // BLOCK + s, which leaves enough
numbers for all of its tiles before those of the next. A program finds its sequence by bisection, and few programs have
nothing to do.

The method is FlashAttention-2 (Dao 2023, arXiv:2307.08691) without its passes before and after: in the backward pass a
program takes its tile as keys and then as queries, so every gradient is summed by one program, in a fixed order.

Only this module needs triton. Its functions are compiled by Triton, not run by Python; `kernels` calls them.
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-1.0e30)


@triton.jit
def place(ends, count, tile, BLOCK: tl.constexpr):
    """The start and length of a tile's sequence, and the tile's first token within it (may be beyond its end)."""
    low = 0
    high = count - 1
    while low < high:
        middle = (low + high + 1) // 2
        before = tl.load(ends + middle) // BLOCK + middle <= tile
        low = tl.where(before, middle, low)
        high = tl.where(before, high, middle - 1)
    start = tl.load(ends + low)
    return start, tl.load(ends + low + 1) - start, (tile - start // BLOCK - low) * BLOCK


@triton.jit
def rows_of(base, stride, tokens, length, D: tl.constexpr):
    """The rows (BLOCK, D) of `tokens`; zeros beyond the sequence's end."""
    pointers = base + tokens[:, None] * stride + tl.arange(0, D)[None, :]
    return tl.load(pointers, mask=tokens[:, None] < length, other=0.0)


@triton.jit
def put(base, stride, tokens, length, rows, D: tl.constexpr):
    """Store the rows (BLOCK, D) of `tokens`, up to the sequence's end."""
    pointers = base + tokens[:, None] * stride + tl.arange(0, D)[None, :]
    tl.store(pointers, rows.to(base.dtype.element_ty), mask=tokens[:, None] < length)


@triton.jit
def seen(queries, keys, length, LEFT: tl.constexpr, RIGHT: tl.constexpr):
    """Which query attends to which key, (BLOCK, BLOCK)."""
    mask = (queries[:, None] < length) & (keys[None, :] < length)
    if LEFT >= 0:
        mask = mask & (keys[None, :] >= queries[:, None] - LEFT)
    if RIGHT >= 0:
        mask = mask & (keys[None, :] <= queries[:, None] + RIGHT)
    return mask


@triton.jit
def mix(bits):
    """Hash of 32 bits: the finaliser of MurmurHash3 (Appleby)."""
    bits = (bits ^ (bits >> 16)).to(tl.uint32)
    bits = tl.mul(bits, 0x85EBCA6B, sanitize_overflow=False)
    bits = bits ^ (bits >> 13)
    bits = tl.mul(bits, 0xC2B2AE35, sanitize_overflow=False)
    return bits ^ (bits >> 16)


@triton.jit
def kept(seed, queries, keys, THRESHOLD: tl.constexpr):
    """Which pairs dropout keeps, (BLOCK, BLOCK): a function of seed, query and key, so backward gets the same mask.

    queries: numbers unique to each query of each head. A generator like Philox needs ten times the arithmetic, more
    than the attention itself.
    """
    drawn = tl.load(seed)
    rows = mix(queries.to(tl.uint32) ^ (drawn & 0xFFFFFFFF).to(tl.uint32))
    rows = mix(rows ^ ((drawn >> 32) & 0xFFFFFFFF).to(tl.uint32))
    columns = tl.mul(keys.to(tl.uint32), 0x9E3779B1, sanitize_overflow=False)
    return mix(rows[:, None] ^ columns[None, :]) >= THRESHOLD


@triton.jit(do_not_specialize=["count"])
def forward_program(
    query,
    key,
    value,
    out,
    lse,
    ends,
    seed,
    count,
    tokens,
    scale,
    query_token,
    query_head,
    key_token,
    key_head,
    value_token,
    value_head,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    LEFT: tl.constexpr,
    RIGHT: tl.constexpr,
    THRESHOLD: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A tile of `out` and the logarithm (base 2) of its softmax's sums."""
    head = tl.program_id(0) % HEADS
    start, length, first = place(ends, count, tl.program_id(0) // HEADS, BLOCK)
    if first >= length:
        return
    begin = start.to(tl.int64)
    key += begin * key_token + head // GROUP * key_head
    value += begin * value_token + head // GROUP * value_head
    mine = first + tl.arange(0, BLOCK)
    queries = rows_of(query + begin * query_token + head * query_head, query_token, mine, length, D)
    most = tl.full((BLOCK,), LOWEST, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    result = tl.zeros((BLOCK, D), tl.float32)
    low = 0
    if LEFT >= 0:
        low = tl.maximum(first - LEFT, 0) // BLOCK * BLOCK
    high = length
    if RIGHT >= 0:
        high = tl.minimum(first + BLOCK + RIGHT, length)
    for at in range(low, high, BLOCK):
        theirs = at + tl.arange(0, BLOCK)
        keys = rows_of(key, key_token, theirs, length, D)
        values = rows_of(value, value_token, theirs, length, D)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * (scale * LOG2E)
        scores = tl.where(seen(mine, theirs, length, LEFT, RIGHT), scores, float("-inf"))
        # `most` starts finite, so a row that attends to none of these keys adds 0, not NaN
        highest = tl.maximum(most, tl.max(scores, axis=1))
        weights = tl.exp2(scores - highest[:, None])
        shrink = tl.exp2(most - highest)
        total = total * shrink + tl.sum(weights, axis=1)
        if THRESHOLD > 0:
            weights = tl.where(kept(seed, (start + mine) * HEADS + head, theirs, THRESHOLD), weights, 0.0)
        result = result * shrink[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
        most = highest
    total = tl.where(mine < length, total, 1.0)
    put(out + (begin * HEADS + head) * D, HEADS * D, mine, length, result / (total * KEEP)[:, None], D)
    tl.store(lse + head * tokens + begin + mine, most + tl.log2(total), mask=mine < length)


@triton.jit
def weigh(
    queries,
    grads,
    delta,
    sums,
    keys,
    values,
    mine,
    theirs,
    length,
    seed,
    numbers,
    scale,
    LEFT: tl.constexpr,
    RIGHT: tl.constexpr,
    THRESHOLD: tl.constexpr,
    KEEP: tl.constexpr,
):
    """For queries `mine` and keys `theirs`: weights after dropout, and the gradient of scores without the scale."""
    scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * (scale * LOG2E)
    weights = tl.where(seen(mine, theirs, length, LEFT, RIGHT), tl.exp2(scores - sums[:, None]), 0.0)
    inner = tl.dot(grads, tl.trans(values), input_precision="ieee")
    used = weights
    if THRESHOLD > 0:
        keep = kept(seed, numbers, theirs, THRESHOLD)
        used = tl.where(keep, weights * (1 / KEEP), 0.0)
        inner = tl.where(keep, inner * (1 / KEEP), 0.0)
    return used, weights * (inner - delta[:, None])


@triton.jit(do_not_specialize=["count"])
def backward_program(
    query,
    key,
    value,
    out,
    lse,
    grad,
    query_grad,
    key_grad,
    value_grad,
    ends,
    seed,
    count,
    tokens,
    scale,
    query_token,
    query_head,
    key_token,
    key_head,
    value_token,
    value_head,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    LEFT: tl.constexpr,
    RIGHT: tl.constexpr,
    THRESHOLD: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradients of a tile's keys and values (of one key head), and of its queries (of the heads that share it)."""
    shared = tl.program_id(0) % (HEADS // GROUP)
    start, length, first = place(ends, count, tl.program_id(0) // (HEADS // GROUP), BLOCK)
    if first >= length:
        return
    begin = start.to(tl.int64)
    key += begin * key_token + shared * key_head
    value += begin * value_token + shared * value_head
    mine = first + tl.arange(0, BLOCK)
    keys = rows_of(key, key_token, mine, length, D)
    values = rows_of(value, value_token, mine, length, D)
    # low, high: the queries that attend to these keys; key_low, key_high: the keys that these queries attend to
    low = 0
    key_low = 0
    high = length
    key_high = length
    if RIGHT >= 0:
        low = tl.maximum(first - RIGHT, 0) // BLOCK * BLOCK
        key_high = tl.minimum(first + BLOCK + RIGHT, length)
    if LEFT >= 0:
        key_low = tl.maximum(first - LEFT, 0) // BLOCK * BLOCK
        high = tl.minimum(first + BLOCK + LEFT, length)
    key_sum = tl.zeros((BLOCK, D), tl.float32)
    value_sum = tl.zeros((BLOCK, D), tl.float32)
    for member in range(GROUP):
        head = shared * GROUP + member
        own = (begin * HEADS + head) * D
        queries_at = query + begin * query_token + head * query_head
        sums_at = lse + head * tokens + begin
        query_sum = tl.zeros((BLOCK, D), tl.float32)
        for at in range(low, high, BLOCK):
            theirs = at + tl.arange(0, BLOCK)
            queries = rows_of(queries_at, query_token, theirs, length, D)
            grads = rows_of(grad + own, HEADS * D, theirs, length, D)
            outs = rows_of(out + own, HEADS * D, theirs, length, D)
            delta = tl.sum(outs.to(tl.float32) * grads.to(tl.float32), axis=1)
            sums = tl.load(sums_at + theirs, mask=theirs < length, other=0.0)
            numbers = (start + theirs) * HEADS + head
            used, slope = weigh(
                queries, grads, delta, sums, keys, values, theirs, mine, length, seed, numbers, scale,
                LEFT, RIGHT, THRESHOLD, KEEP,
            )  # fmt: skip
            slope = slope.to(keys.dtype)
            value_sum += tl.dot(tl.trans(used.to(grads.dtype)), grads, input_precision="ieee")
            key_sum += tl.dot(tl.trans(slope), queries, input_precision="ieee")
            if at == first:
                query_sum += tl.dot(slope, keys, input_precision="ieee")
        if length > BLOCK:
            queries = rows_of(queries_at, query_token, mine, length, D)
            grads = rows_of(grad + own, HEADS * D, mine, length, D)
            outs = rows_of(out + own, HEADS * D, mine, length, D)
            delta = tl.sum(outs.to(tl.float32) * grads.to(tl.float32), axis=1)
            sums = tl.load(sums_at + mine, mask=mine < length, other=0.0)
            numbers = (start + mine) * HEADS + head
            for at in range(key_low, key_high, BLOCK):
                if at != first:
                    theirs = at + tl.arange(0, BLOCK)
                    their_keys = rows_of(key, key_token, theirs, length, D)
                    their_values = rows_of(value, value_token, theirs, length, D)
                    _, slope = weigh(
                        queries, grads, delta, sums, their_keys, their_values, mine, theirs, length, seed, numbers,
                        scale, LEFT, RIGHT, THRESHOLD, KEEP,
                    )  # fmt: skip
                    query_sum += tl.dot(slope.to(keys.dtype), their_keys, input_precision="ieee")
        put(query_grad + own, HEADS * D, mine, length, query_sum * scale, D)
    shared_at = (begin * (HEADS // GROUP) + shared) * D
    put(key_grad + shared_at, HEADS // GROUP * D, mine, length, key_sum * scale, D)
    put(value_grad + shared_at, HEADS // GROUP * D, mine, length, value_sum, D)
