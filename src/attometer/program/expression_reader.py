"""Reads expressions of the notation: sums of products of signed atoms."""

from attometer.errors import nearest
from attometer.program.cursor import MAX_NESTING, Cursor
from attometer.program.expression import (
    COMPOSITES,
    FUNCTIONS,
    REDUCTIONS,
    SCATTER,
    SELECTIONS,
    SORTS,
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
)

_ALONG = (*REDUCTIONS, *COMPOSITES, *SORTS, SCATTER)
_LARGEST = 1e300
NESTED = REDUCTIONS
"""Functions that run along several indices one after the other: sum[j,k](X) is sum[j](sum[k](X))."""
_PRODUCT = "a product of tensors is summed over the indices that the left does not have: Y[i,k] = A[i,j] * B[j,k]"
_COMPLEX = "a complex number is two tensors, of real and imaginary parts: (a + bi)(c + di) is ac - bd and ad + bc"
_INSTEAD = (
    {
        "cumsum": "a running sum is a recurrence: Z[t] = Z[t-1] + X[t]   associative",
        "cumprod": "a running product is a recurrence: Z[t] = exp(L[t]), with L[t] = L[t-1] + log(X[t])   associative",
        "cummax": "a running maximum is a recurrence: Z[t] = maximum(Z[t-1], X[t])   associative",
        "argmax": "the place of the largest entry is topk[j, 1](X)",
        "argmin": "the place of the smallest entry is the first of argsort[j](X)",
        "sort": "sort by reading at argsort[j](X)",
        "gather": "read at a tensor of places: X[T[i],d]",
        "index_add": "sum into a tensor of places: scatter[j, T[i]](X[i,d])",
        "where": "choose by a product with less(a, b) or equal(a, b), or mask the statement: where causal(i, j)",
        "transpose": "write the indices in another order",
        "concat": "declare one tensor with the longer axis, and read parts of it at shifted indices",
        "clip": "write minimum(maximum(x, a), b)",
        "clamp": "write minimum(maximum(x, a), b)",
        "exp2": "write pow(2, x)",
        "log2": "write log(x) / log(2)",
        "expm1": "write exp(x) - 1",
        "log1p": "write log(1 + x)",
        "norm": "the length of a vector is sqrt(sum[d](square(X)))",
        "var": "write mean[d](square(X)) - square(mean[d](X))",
        "leaky_relu": "write maximum(x, 0.01 * x)",
        "mish": "write x * tanh(softplus(x))",
        "tril": "mask the statement: where causal(i, j)",
        "triu": "mask the statement: where ~strict(i, j)",
        "solve": "a triangular system is a recurrence over all earlier rows: X[t] = B[t] - A[t,s] * X[s]   where strict(t, s)",
        "solve_triangular": "a triangular system is a recurrence: X[t] = B[t] - A[t,s] * X[s]   where strict(t, s)",
        "elu": "elu(x) + 1 is exp(minimum(x, 0)) + relu(x)",
    }
    | dict.fromkeys(("conj", "real", "imag", "complex", "angle", "polar"), _COMPLEX)
    | dict.fromkeys(("matmul", "dot", "einsum", "bmm", "mm"), _PRODUCT)
)
"""What to write for functions that other languages have."""


def read_expression(text: str) -> Expression:
    """Read one expression and nothing else.

    >>> read_expression("n // 2")
    Binary(op='//', left=Name(name='n'), right=Number(value=2))
    """
    reader = ExpressionReader(1, text)
    found = reader.sum()
    reader.end()
    return found


class ExpressionReader(Cursor):
    """A cursor that reads expressions."""

    def sum(self) -> Expression:
        """Read terms joined by + and -."""
        self.enter("expression")
        left = self.product()
        while self.peek() in ("+", "-"):
            left = Binary(self.next(), left, self.product())
        self.leave()
        return left

    def product(self) -> Expression:
        """Read factors joined by *, /, // and %."""
        left = self.unary()
        while self.peek() in ("*", "/", "//", "%"):
            column, operator = self.column(), self.next()
            if operator == self.peek() == "*":
                self.fail('"**" is not of the notation; a power is square(x) or pow(x, y)', column)
            left = Binary(operator, left, self.unary())
        return left

    def unary(self) -> Expression:
        """Read an atom after any number of minus signs."""
        negations = 0
        while self.skip("-"):
            negations += 1
            if negations > MAX_NESTING:
                self.fail(f"expression nested deeper than {MAX_NESTING}")
        node = self.atom()
        for _ in range(negations):
            node = Negative(node)
        return node

    def atom(self) -> Expression:
        """Read a number, a name, a reference, a call, or a sum in parentheses."""
        if self.skip("("):
            inner = self.sum()
            self.take(")")
            return inner
        if self.kind() == "number":
            return self.literal()
        column = self.column()
        if self.peek() == ":":
            self.fail('no ranges: a tensor is read at its indices, "X[i,d]", or whole, by its bare name')
        name = self.name("a tensor, size, number or function")
        if name in _INSTEAD and self.peek() in ("[", "("):
            self.fail(f'unknown function "{name}"; {_INSTEAD[name]}', column)
        if self.peek() == "[":
            return self.along(name) if name in _ALONG else self.ref(name, column)
        return self.call(name) if self.peek() == "(" else Name(name)

    def ref(self, name: str, column: int) -> Ref:
        """Read the indices of a tensor; what stands in parentheses behind them would be a function along one."""
        read = Ref(name, self.indices())
        if self.peek() == "(":
            self.fail(f'unknown function along an index "{name}"{nearest(name, _ALONG)}', column)
        return read

    def literal(self) -> Number:
        """Read a number; digits alone are an integer."""
        column = self.column()
        text = self.next()
        value = float(text)
        if value > _LARGEST:
            self.fail(f"number {text[:20]} is too large", column)
        return Number(int(text) if text.isdigit() else value)

    def indices(self) -> tuple[Expression, ...]:
        """Read index expressions in brackets."""
        self.take("[")
        found = []
        while not self.skip("]"):
            found.append(self.sum())
            if self.peek() != "]":
                self.take(",")
        return tuple(found)

    def along(self, function: str) -> Expression:
        """Read what follows the name of a function along an index: `[j](X)`."""
        column = self.tokens[self.at - 1][2]
        inside = self.indices()
        if not inside or not isinstance(inside[0], Name):
            self.fail(f"{function} needs the index it runs along, as in {function}[j](X)", column)
        if function == SCATTER and (len(inside) % 2 or not all(isinstance(i, Name) for i in inside[::2])):
            self.fail("scatter takes an index and its place, as in scatter[j, T[i]](X), for each index", column)
        named = len(inside) > 1 and len({i.name for i in inside if isinstance(i, Name)}) == len(inside)
        several, joint = named and function in NESTED, named and function in COMPOSITES
        if function != SCATTER and not (several or joint) and len(inside) != (2 if function in SELECTIONS else 1):
            wanted = "an index and a count" if function in SELECTIONS else "one index"
            self.fail(f"{function} takes {wanted} in brackets, got {len(inside)}", column)
        self.take("(")
        argument = self.sum()
        self.take(")")
        for index in reversed(inside[1:] if several else ()):
            assert isinstance(index, Name)
            argument = Along(function, index.name, (), argument)
        return Along(function, inside[0].name, () if several else tuple(inside[1:]), argument)

    def call(self, function: str) -> Expression:
        """Read the arguments of an element-wise function."""
        column = self.tokens[self.at - 1][2]
        if function != "pos" and function not in FUNCTIONS:
            self.fail(f'unknown function "{function}"{_hint(function)}', column)
        self.take("(")
        if function == "pos":
            index = self.name("an index name")
            self.take(")")
            return Position(index)
        arguments = [self.sum()]
        while self.skip(","):
            arguments.append(self.sum())
        self.take(")")
        if len(arguments) != FUNCTIONS[function]:
            self.fail(f"{function} takes {FUNCTIONS[function]} argument(s), got {len(arguments)}", column)
        return Call(function, tuple(arguments))


def _hint(function: str) -> str:
    if function in _ALONG:
        return f"; write {function}[j](X) to say along which index"
    return nearest(function, (*FUNCTIONS, "pos", *_ALONG))
