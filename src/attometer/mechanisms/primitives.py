"""The primitives of the essay "Attention is logarithmic, actually", cases 1 to 5."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.program import size

ESSAY = "Doan 2025, Attention is logarithmic, actually"

ELEMENTWISE = Entry(
    "elementwise",
    "element-wise product of two vectors",
    "axis i: n\ninput A[i], B[i]\nC[i] = A[i] * B[i]",
    f"{ESSAY}, case 1",
)

SUM = Entry("sum", "sum of a vector", "axis i: n\ninput A[i]\nC = A[i]", f"{ESSAY}, case 2")

TENSOR_PRODUCT = Entry(
    "tensor_product",
    "tensor product of two matrices along a shared axis",
    "axis i: n, j: n, k: n\ninput A[i,j], B[j,k]\nC[i,j,k] = A[i,j] * B[j,k]",
    f"{ESSAY}, case 3",
)

MATMUL = Entry(
    "matmul",
    "matrix product",
    "axis i: n, k: k, j: m\ninput A[i,k], B[k,j]\nY[i,j] = A[i,k] * B[k,j]",
    f"{ESSAY}, case 4",
    parameters=(
        size_parameter("k", size("n"), "columns of A, rows of B"),
        size_parameter("m", size("n"), "columns of B"),
    ),
)

SOFTMAX_ROW = Entry(
    "softmax_row",
    "softmax of a vector",
    "axis i: n\ninput X[i]\nY[i] = softmax[i](X)",
    f"{ESSAY}, case 5",
)
