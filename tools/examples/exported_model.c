/* An exported model from C, by ONNX Runtime's C API: the same file as a node's, without Python.
 *
 *     cc -O2 exported_model.c -I INCLUDE -L LIB -lonnxruntime -o exported_model
 *     ./exported_model MODEL.onnx FOLDER
 *
 * INCLUDE and LIB are of ONNX Runtime's release for the platform. FOLDER holds an input a file, NAME.npy, as numpy.save
 * writes it; each output is written there as NAME.npy. What the model says of itself goes to the standard output.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_c_api.h"

#define MOST_AXES 8
#define MOST_TENSORS 64

static const OrtApi *api;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void expect(OrtStatus *status, const char *what) {
    if (status != NULL) fail(what, api->GetErrorMessage(status));
}

typedef struct {
    int64_t shape[MOST_AXES];
    size_t axes, bytes;
    ONNXTensorElementDataType type;
    void *values;
} Array;

static const struct {
    const char *descr;
    ONNXTensorElementDataType type;
    size_t bytes;
} TYPES[] = {
    {"<f4", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4},
    {"<i8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8},
    {"|b1", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1},
};
enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES };

/* Reads a .npy file of version 1: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
static Array read_npy(const char *path) {
    unsigned char start[10];
    Array array = {.axes = 0, .bytes = 0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path, "expected an input of the model, found no such file");
    if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7) != 0) fail(path, "expected .npy, version 1");
    size_t length = start[8] | (size_t)start[9] << 8;
    char *header = calloc(length + 1, 1);
    if (header == NULL || fread(header, 1, length, file) != length) fail(path, "is cut off");
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (strstr(header, TYPES[i].descr) != NULL) array.type = TYPES[i].type, array.bytes = TYPES[i].bytes;
    }
    char *place = strchr(header, '(');
    if (array.bytes == 0 || place == NULL || strstr(header, "'fortran_order': False") == NULL)
        fail(path, "expected float32, int64 or bool in C order");
    for (place++; *place != ')' && *place != 0; place += strspn(place, ", ")) {
        if (array.axes == MOST_AXES) fail(path, "has too many axes");
        array.shape[array.axes] = strtoll(place, &place, 10);
        array.bytes *= (size_t)array.shape[array.axes++];
    }
    array.values = malloc(array.bytes + 1);
    if (array.values == NULL || fread(array.values, 1, array.bytes, file) != array.bytes) fail(path, "is cut off");
    free(header);
    fclose(file);
    return array;
}

static void write_npy(const char *path, const int64_t *shape, size_t axes, const float *values) {
    char header[119] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    size_t count = 1, used = strlen(header);
    for (size_t i = 0; i < axes; i++) {
        used += (size_t)snprintf(header + used, sizeof header - used, "%lld,", (long long)shape[i]);
        count *= (size_t)shape[i];
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "), }");
    memset(header + used, ' ', sizeof header - 1 - used);
    header[sizeof header - 2] = '\n'; /* with the ten bytes before it 128 in all */
    FILE *file = fopen(path, "wb");
    if (file == NULL) fail(path, "cannot be written");
    unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, sizeof header - 1, 0};
    fwrite(start, 1, sizeof start, file);
    fwrite(header, 1, sizeof header - 1, file);
    if (fwrite(values, sizeof *values, count, file) != count || fclose(file) != 0) fail(path, "cannot be written");
}

static void print_metadata(OrtSession *session, OrtAllocator *allocator) {
    OrtModelMetadata *metadata;
    char *text = NULL;
    expect(api->SessionGetModelMetadata(session, &metadata), "metadata");
    expect(api->ModelMetadataLookupCustomMetadataMap(metadata, allocator, "frozen_perception", &text), "metadata");
    if (text == NULL) fail("metadata", "expected a file of `perception export`");
    puts(text);
    expect(api->AllocatorFree(allocator, text), "metadata");
    api->ReleaseModelMetadata(metadata);
}

int main(int argc, char **argv) {
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtAllocator *allocator;
    OrtMemoryInfo *memory;
    char *inputs[MOST_TENSORS], *outputs[MOST_TENSORS], path[4096];
    OrtValue *given[MOST_TENSORS], *answer[MOST_TENSORS] = {NULL};
    size_t input_count, output_count;

    if (argc != 3) fail(argv[0], "expected MODEL.onnx and a folder of inputs");
    api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (api == NULL) fail("ONNX Runtime", "is older than this program");
    expect(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "exported_model", &env), "environment");
    expect(api->CreateSessionOptions(&options), "options");
    expect(api->SetIntraOpNumThreads(options, 1), "options");
    expect(api->CreateSession(env, argv[1], options, &session), argv[1]);
    expect(api->GetAllocatorWithDefaultOptions(&allocator), "allocator");
    expect(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "memory");
    print_metadata(session, allocator);

    expect(api->SessionGetInputCount(session, &input_count), "inputs");
    expect(api->SessionGetOutputCount(session, &output_count), "outputs");
    if (input_count > MOST_TENSORS || output_count > MOST_TENSORS) fail(argv[1], "has too many inputs or outputs");
    for (size_t i = 0; i < input_count; i++) {
        expect(api->SessionGetInputName(session, i, allocator, &inputs[i]), "inputs");
        snprintf(path, sizeof path, "%s/%s.npy", argv[2], inputs[i]);
        Array array = read_npy(path); /* its values belong to the tensor until the end */
        expect(api->CreateTensorWithDataAsOrtValue(memory, array.values, array.bytes, array.shape, array.axes,
                                                   array.type, &given[i]),
               inputs[i]);
    }
    for (size_t i = 0; i < output_count; i++)
        expect(api->SessionGetOutputName(session, i, allocator, &outputs[i]), "outputs");
    expect(api->Run(session, NULL, (const char *const *)inputs, (const OrtValue *const *)given, input_count,
                    (const char *const *)outputs, output_count, answer),
           "model");

    for (size_t i = 0; i < output_count; i++) {
        OrtTensorTypeAndShapeInfo *about;
        int64_t shape[MOST_AXES];
        size_t axes;
        void *values;
        expect(api->GetTensorTypeAndShape(answer[i], &about), outputs[i]);
        expect(api->GetDimensionsCount(about, &axes), outputs[i]);
        if (axes > MOST_AXES) fail(outputs[i], "has too many axes");
        expect(api->GetDimensions(about, shape, axes), outputs[i]);
        expect(api->GetTensorMutableData(answer[i], &values), outputs[i]);
        snprintf(path, sizeof path, "%s/%s.npy", argv[2], outputs[i]);
        write_npy(path, shape, axes, values);
        api->ReleaseTensorTypeAndShapeInfo(about);
    }
    return 0; /* the system takes the rest */
}
