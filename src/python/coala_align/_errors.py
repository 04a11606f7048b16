class Error(Exception):
    """What went wrong in coala, with what was found and what was expected.

    code: what kind of thing: "bad usage", "bad input", "corrupt file", "mismatch", "input/output error", ...
    message: what went wrong
    hint: what can be done; "" where there is nothing to say. Options that it names are keywords here.
    """

    def __init__(self, code, message, hint=""):
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self):
        return f"{self.code}: {self.message}" + (f"\n{self.hint}" if self.hint else "")
