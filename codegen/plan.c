/* The memory plan: when each buffer of the work area is alive, and where. Buffers are placed by falling size, each at
 * the lowest offset where it meets none that lives at the same time (greedy best fit by size). A Map that reads an
 * operand for the last time writes over it where both lie alike. */
#include "codegen/program.h"

#include <stdlib.h>
#include <string.h>

static void touch(Buffer *b, int step) {
    if (b->first > b->last) b->first = step;
    b->last = step;
}

static void mark_alive(Program *p) {
    for (size_t i = 0; i < p->buffers.n; i++) p->buffers.at[i]->first = 1, p->buffers.at[i]->last = 0;
    for (size_t i = 0; i < p->steps.n; i++) {
        Step *s = p->steps.at[i];
        for (int k = 0; k < s->node->n_out; k++) {
            if (!s->node->out[k]) continue;
            Buffer *b = storage_of(p, s->node->out[k])->buffer;
            if (b->space != SPACE_WORK) continue;
            s->zero_halo = s->zero_halo || (b->halo && b->first > b->last);
            touch(b, (int)i);
        }
        for (int k = 0; k < s->node->n_in; k++) {
            if (!s->node->in[k] || s->plan.in[k].packed) continue;
            Buffer *b = storage_of(p, s->node->in[k])->buffer;
            if (b->space == SPACE_WORK) touch(b, (int)i);
        }
    }
}

/* ---- in place ------------------------------------------------------------------------------------------------ */

/* The operand of step i that its output may overwrite: it dies here and lies exactly as the output does. */
static Buffer *overwritten(const Program *p, int i) {
    const Step *s = p->steps.at[i];
    if (!s->plan.in_place || s->node->n_out != 1) return NULL;
    const Value *out = s->node->out[0];
    const Storage *o = storage_of(p, out);
    if (o->buffer->space != SPACE_WORK || o->buffer->first != i || o->buffer->owner != out) return NULL;
    for (int k = 0; k < s->node->n_in; k++) {
        const Value *in = s->node->in[k];
        const Storage *st = in ? storage_of(p, in) : NULL;
        if (!st || st->buffer->space != SPACE_WORK || st->buffer->last != i || st->buffer->bytes != o->buffer->bytes ||
            st->buffer == o->buffer || st->offset != o->offset ||
            elem_bytes(in->type.elem) != elem_bytes(out->type.elem) ||
            !shape_equal(&in->type.shape, &out->type.shape) || memcmp(st->stride, o->stride, sizeof st->stride) != 0)
            continue;
        int readers = 0; /* another view of the same memory would be read after it was overwritten */
        for (int j = 0; j < s->node->n_in; j++)
            readers += s->node->in[j] && storage_of(p, s->node->in[j])->buffer == st->buffer;
        if (readers == 1) return st->buffer;
    }
    return NULL;
}

/* Joins buffers into chains of one place each: shared[i] is the earlier buffer that buffer i lies on. */
typedef struct Chain {
    Buffer *buffer; /* the first one */
    int first, last;
    int64_t bytes;
} Chain;

static int by_size(const void *a, const void *b) {
    const Chain *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->first - y->first;
}

static int by_offset(const void *a, const void *b) {
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool together(const Buffer *a, int first, int last) { return a->first <= last && first <= a->last; }

/* The lowest offset that is free from step `first` to `last`; placed: buffers in order of offset. */
static int64_t lowest_free(Buffer *const *placed, size_t n, const Chain *c) {
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!together(placed[i], c->first, c->last)) continue;
        if (at + c->bytes <= placed[i]->offset) break;
        at = i64_max(at, round_up(placed[i]->offset + placed[i]->bytes, QCC_ALIGN));
    }
    return at;
}

static void place_chains(Program *p, Chain *chains, size_t n) {
    Buffer **placed = NEW_ARRAY(p->arena, Buffer *, n);
    qsort(chains, n, sizeof *chains, by_size);
    for (size_t i = 0; i < n; i++) {
        Chain *c = &chains[i];
        c->buffer->offset = lowest_free(placed, i, c);
        c->buffer->first = c->first;
        c->buffer->last = c->last;
        p->work_bytes = i64_max(p->work_bytes, c->buffer->offset + c->bytes);
        placed[i] = c->buffer;
        qsort(placed, i + 1, sizeof *placed, by_offset);
    }
}

void plan_run(Program *p) {
    mark_alive(p);
    size_t n = 0;
    Map chain_of = {0}, base_of = {0};
    Chain *chains = NEW_ARRAY(p->arena, Chain, p->buffers.n);
    for (size_t i = 0; i < p->steps.n; i++) {
        p->scratch_bytes = i64_max(p->scratch_bytes, round_up(p->steps.at[i]->plan.scratch_bytes, QCC_ALIGN));
        Buffer *b = overwritten(p, (int)i);
        if (b) map_put_ptr(p->arena, &base_of, storage_of(p, p->steps.at[i]->node->out[0])->buffer, b);
    }
    for (size_t i = 0; i < p->buffers.n; i++) {
        Buffer *b = p->buffers.at[i];
        if (b->first > b->last || map_get_ptr(&base_of, b)) continue;
        chains[n] = (Chain){b, b->first, b->last, b->bytes};
        map_put_ptr(p->arena, &chain_of, b, &chains[n++]);
    }
    for (size_t i = 0; i < p->buffers.n; i++) {
        Buffer *b = p->buffers.at[i], *base = b;
        if (!map_get_ptr(&base_of, b)) continue;
        for (Buffer *up; (up = map_get_ptr(&base_of, base)) != NULL;) base = up;
        Chain *c = map_get_ptr(&chain_of, base);
        c->last = b->last > c->last ? b->last : c->last;
    }
    place_chains(p, chains, n);
    for (size_t i = 0; i < p->buffers.n; i++) {
        Buffer *b = p->buffers.at[i], *base = b;
        for (Buffer *up; (up = map_get_ptr(&base_of, base)) != NULL;) base = up;
        b->offset = base->offset;
    }
    /* Emitters may read a little behind the last tensor. */
    if (p->work_bytes) p->work_bytes = round_up(p->work_bytes, QCC_ALIGN) + QCC_ALIGN;
}
