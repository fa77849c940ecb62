"""The wire format of requests, and what is wrong with one that does not fit it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.functional_validators import AfterValidator, PlainValidator, WrapValidator
from pydantic_core import CoreSchema, PydanticCustomError

from model.lines import has_lone_surrogate
from service.problems import FieldError, field_errors
from service.settings import MAX_BATCH_ITEMS

# The key of a schema that names the setting which limits it.
LIMITED_BY: Final = "x-limited-by"

_MAX_IDENTIFIER_LENGTH: Final = 128
_IDENTIFIER_INTEGERS: Final = range(-(2**63), 2**63)

# An unknown field is named only where its name can be no text of a user.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")

_SEVERAL_TEXTS: Final = 'for several texts, POST {"items": ["…", "…"]} to /v1/predict/batch'


def _without_lone_surrogates(text: str) -> str:
    if has_lone_surrogate(text):
        raise PydanticCustomError("string_unicode", "holds half of a surrogate pair")
    return text


def _limited_by(bound: str, setting: str) -> Any:
    """Have the OpenAPI document state a setting as a bound; ``service.app`` fills in the value.

    The schema does not check it: a text over its limit is a 413, and in a batch it fails alone.
    """
    return Field(json_schema_extra={LIMITED_BY: {bound: setting}})


LIMITED_ITEMS = _limited_by("maxItems", "max_items")

# JSON can spell half of a surrogate pair, which no encoding can write.
Text = Annotated[
    str,
    AfterValidator(_without_lone_surrogates),
    Field(description="A text that is not blank."),
    _limited_by("maxLength", "max_text_characters"),
]


class _Request(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    example: ClassVar[str]
    # What to do about an unknown field that many try.
    hints: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _is_object_of_known_fields(cls, value: Any) -> Any:
        """Refuse anything but an object, and unknown fields in one error, however many there are.

        The error names an unknown field in ``field`` of its context.
        """
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "object_type", "must be an object such as {example}", {"example": cls.example}
            )
        known = cls.model_fields
        if any(key not in known for key in value):
            unknown = [key for key in value if key not in known]
            hinted = next((key for key in unknown if key in cls.hints), None)
            name = hinted or next(filter(_PLAIN_NAME.fullmatch, unknown), "")
            parts = [f"is unknown; the known fields are {', '.join(known)}"]
            if not name:
                parts = [f"has an unknown field; the known ones are {', '.join(known)}"]
            parts += [
                f"{field} is missing"
                for field, details in known.items()
                if details.is_required() and field not in value
            ]
            if hinted:
                parts.append(cls.hints[hinted])
            raise PydanticCustomError(
                "extra_forbidden", "{message}", {"message": "; ".join(parts), "field": name}
            )
        return value


ModelName = Annotated[str, Field(max_length=256)]
_MODEL = Field(
    default=None,
    description="A served model by its name, or by name and version; by default, the first one.",
    examples=["zh-general", "zh-general@2.1.0"],
)


class PredictRequest(_Request):
    """One text."""

    example = '{"text": "…"}'
    hints = dict.fromkeys(("texts", "items", "inputs", "sentences"), _SEVERAL_TEXTS)

    text: Text = Field(examples=["房间干净，服务也好，就是早餐太差"])
    model: ModelName | None = _MODEL


def _identifier(value: object) -> object:
    if isinstance(value, str):
        if len(value) <= _MAX_IDENTIFIER_LENGTH:
            return _without_lone_surrogates(value)
    elif value is None or (type(value) is int and value in _IDENTIFIER_INTEGERS):
        return value
    raise PydanticCustomError(
        "identifier",
        f"must be a string of at most {_MAX_IDENTIFIER_LENGTH} characters or an integer of 64 bits",
    )


# A client's name for a text.
Identifier = Annotated[
    int | str | None,
    PlainValidator(_identifier),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": _MAX_IDENTIFIER_LENGTH},
                {
                    "type": "integer",
                    "minimum": _IDENTIFIER_INTEGERS.start,
                    "maximum": _IDENTIFIER_INTEGERS.stop - 1,
                },
                {"type": "null"},
            ]
        }
    ),
]


class BatchItem(_Request):
    """One text of a batch and the client's name for it."""

    example = '{"text": "…"}, or a text'

    id: Identifier = Field(
        default=None, description="Returned with the result as it came, a number as a number."
    )
    text: Text = Field(examples=["很好吃"])


class InvalidItem(BaseModel):
    """An item that does not fit the schema; its result is an error."""

    id: Identifier
    errors: list[FieldError]


def _keep_invalid(value: Any, validate: ValidatorFunctionWrapHandler) -> BatchItem | InvalidItem:
    try:
        item: BatchItem = validate({"text": value} if isinstance(value, str) else value)
    except ValidationError as error:
        identifier = value.get("id") if isinstance(value, dict) else None
        try:
            known = BatchItem(id=identifier, text="").id
        except ValidationError:
            known = None
        return InvalidItem(id=known, errors=field_errors(error.errors(include_url=False)))
    return item


class _OrText:
    """Has the OpenAPI document say that a text may stand for an item."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), TypeAdapter(Text).json_schema()]}


# One bad item must not fail the rest, so its errors are kept as a value.
CheckedItem = Annotated[BatchItem, WrapValidator(_keep_invalid), _OrText()]


class BatchRequest(_Request):
    """Several texts, answered in their order."""

    example = '{"items": ["…", "…"]}'
    hints = {
        **dict.fromkeys(("texts", "inputs", "sentences"), 'send {"items": ["…", "…"]}'),
        "text": 'for one text, POST {"text": "…"} to /v1/predict',
    }

    # A bound on the items that are parsed; the setting that clients see is not above it.
    items: Annotated[
        list[CheckedItem], Field(min_length=1, max_length=MAX_BATCH_ITEMS), LIMITED_ITEMS
    ] = Field(description="Texts, each alone or in an object that gives it an `id`.")
    model: ModelName | None = _MODEL
