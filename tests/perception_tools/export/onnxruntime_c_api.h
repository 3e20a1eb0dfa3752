/* The part of ONNX Runtime's onnxruntime_c_api.h that tools/examples/exported_model.c uses; wheels bring no header.
 *
 * The places of OrtApi's functions never change (onnxruntime_c_api.cc asserts them: ReleaseCustomOpDomain at 101,
 * ReleaseModelMetadata at 118), so functions that are not used here only take their places.
 */
#include <stddef.h>
#include <stdint.h>

#define ORT_API_VERSION 2 /* the first with metadata */

typedef enum {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL = 9,
} ONNXTensorElementDataType;
typedef enum { ORT_LOGGING_LEVEL_ERROR = 3 } OrtLoggingLevel;
typedef enum { OrtArenaAllocator = 1 } OrtAllocatorType;
typedef enum { OrtMemTypeDefault = 0 } OrtMemType;

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtModelMetadata OrtModelMetadata;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;

typedef struct {
    void *to_2[2];
    const char *(*GetErrorMessage)(const OrtStatus *); /* 2 */
    OrtStatus *(*CreateEnv)(OrtLoggingLevel, const char *, OrtEnv **); /* 3 */
    void *to_7[3];
    OrtStatus *(*CreateSession)(const OrtEnv *, const char *, const OrtSessionOptions *, OrtSession **); /* 7 */
    void *to_9[1];
    OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *, const OrtValue *const *, size_t,
                      const char *const *, size_t, OrtValue **); /* 9 */
    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **); /* 10 */
    void *to_24[13];
    OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *, int); /* 24 */
    void *to_30[5];
    OrtStatus *(*SessionGetInputCount)(const OrtSession *, size_t *); /* 30 */
    OrtStatus *(*SessionGetOutputCount)(const OrtSession *, size_t *); /* 31 */
    void *to_36[4];
    OrtStatus *(*SessionGetInputName)(const OrtSession *, size_t, OrtAllocator *, char **); /* 36 */
    OrtStatus *(*SessionGetOutputName)(const OrtSession *, size_t, OrtAllocator *, char **); /* 37 */
    void *to_49[11];
    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t,
                                                 ONNXTensorElementDataType, OrtValue **); /* 49 */
    void *to_51[1];
    OrtStatus *(*GetTensorMutableData)(OrtValue *, void **); /* 51 */
    void *to_61[9];
    OrtStatus *(*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *, size_t *); /* 61 */
    OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *, int64_t *, size_t); /* 62 */
    void *to_65[2];
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *, OrtTensorTypeAndShapeInfo **); /* 65 */
    void *to_69[3];
    OrtStatus *(*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo **); /* 69 */
    void *to_76[6];
    OrtStatus *(*AllocatorFree)(OrtAllocator *, void *); /* 76 */
    void *to_78[1];
    OrtStatus *(*GetAllocatorWithDefaultOptions)(OrtAllocator **); /* 78 */
    void *to_99[20];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *); /* 99 */
    void *to_111[11];
    OrtStatus *(*SessionGetModelMetadata)(const OrtSession *, OrtModelMetadata **); /* 111 */
    void *to_116[4];
    OrtStatus *(*ModelMetadataLookupCustomMetadataMap)(const OrtModelMetadata *, OrtAllocator *, const char *,
                                                       char **); /* 116 */
    void *to_118[1];
    void (*ReleaseModelMetadata)(OrtModelMetadata *); /* 118 */
} OrtApi;

_Static_assert(offsetof(OrtApi, CreateTensorWithDataAsOrtValue) == 49 * sizeof(void *), "places");
_Static_assert(offsetof(OrtApi, ReleaseModelMetadata) == 118 * sizeof(void *), "places");

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

const OrtApiBase *OrtGetApiBase(void);
