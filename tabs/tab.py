"""What a tab of a kind of request hands to the page."""

from dataclasses import dataclass

from tabs.form import Form
from tabs.output import Output


@dataclass(frozen=True, slots=True)
class Tab:
    """The form that asks, and what it shows of its jobs."""

    form: Form
    output: Output

    @property
    def kind(self) -> str:
        return str(self.form.kind.model_fields["kind"].default)
