/* Classifies digit images with the compiled network.
 *     classify DIGIT.pgm ...                  plain PGM, 28x28, 255 = ink
 *     classify --mnist IMAGES LABELS          the 10 000 test images, idx files, not compressed
 * All there is to calling a model: a work area, digits_prepare once, then digits_run. */
#include "digits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };

static _Alignas(QCC_ALIGN) unsigned char prep[DIGITS_PREP_BYTES + 1]; /* for some CPUs nothing is prepared */
static _Alignas(QCC_ALIGN) unsigned char work[DIGITS_WORK_BYTES(1)];
static _Alignas(QCC_ALIGN) float image[PIXELS], scores[CLASSES];

static double seconds_now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Returns the digit and, in *confidence, its softmax probability. */
static int classify(double *confidence) {
    const void *in[] = {image};
    void *out[] = {scores};
    int best = 0;
    double sum = 0;
    if (digits_run(in, out, 1, prep, work, NULL) != QCC_OK) exit(2);
    for (int i = 1; i < CLASSES; i++)
        if (scores[i] > scores[best]) best = i;
    for (int i = 0; i < CLASSES; i++) sum += exp((double)scores[i] - (double)scores[best]);
    *confidence = 1 / sum;
    return best;
}

static int read_pgm(const char *path) {
    FILE *f = fopen(path, "r");
    int width, height, most, value, good = 0;
    if (f && fscanf(f, "P2 %d %d %d", &width, &height, &most) == 3 && width == SIDE && height == SIDE && most > 0) {
        good = 1;
        for (int i = 0; i < PIXELS && good; i++) {
            good = fscanf(f, "%d", &value) == 1;
            image[i] = good ? (float)value / (float)most : 0;
        }
    }
    if (f) fclose(f);
    if (!good) fprintf(stderr, "%s: not a plain PGM image of 28x28\n", path);
    return good;
}

/* Two rows of the image in a line of text. */
static void draw(void) {
    static const char shade[] = " .:*#";
    for (int y = 4; y < SIDE - 3; y += 2) {
        printf("    ");
        for (int x = 4; x < SIDE - 4; x++) {
            float ink = 0.5f * (image[y * SIDE + x] + image[(y + 1) * SIDE + x]);
            putchar(shade[(int)(ink * 4.999f)]);
        }
        putchar('\n');
    }
}

static double best_time(void) {
    double best = 1, confidence;
    for (int i = 0; i < 1000; i++) {
        double start = seconds_now();
        classify(&confidence);
        double took = seconds_now() - start;
        if (took < best) best = took;
    }
    return best;
}

static int show_images(int n, char **paths) {
    double confidence;
    for (int i = 0; i < n; i++) {
        if (!read_pgm(paths[i])) return 1;
        int digit = classify(&confidence);
        if (i == 0) draw();
        printf("%s: looks like a %d, %.1f %% sure\n", paths[i], digit, 100 * confidence);
    }
    if (n > 0) printf("best of 1000 runs: %.1f us an image\n", 1e6 * best_time());
    return 0;
}

static int score_mnist(const char *images, const char *labels) {
    unsigned char pixels[PIXELS], head[16];
    FILE *f = fopen(images, "rb"), *g = fopen(labels, "rb");
    int n = 0, hits = 0, label;
    double confidence;
    if (f && g && fread(head, 1, 16, f) == 16 && fread(head, 1, 8, g) == 8) {
        while (fread(pixels, 1, PIXELS, f) == PIXELS && (label = fgetc(g)) != EOF) {
            for (int i = 0; i < PIXELS; i++) image[i] = (float)pixels[i] / 255;
            hits += classify(&confidence) == label;
            n++;
        }
    }
    if (f) fclose(f);
    if (g) fclose(g);
    if (n == 0) {
        fprintf(stderr, "%s, %s: not idx files\n", images, labels);
        return 1;
    }
    printf("MNIST: %d of %d test images right, %.2f %%\n", hits, n, 100.0 * hits / n);
    return 0;
}

int main(int argc, char **argv) {
    if (digits_prepare(prep) != QCC_OK) return 2;
    if (argc == 4 && strcmp(argv[1], "--mnist") == 0) return score_mnist(argv[2], argv[3]);
    return show_images(argc - 1, argv + 1);
}
