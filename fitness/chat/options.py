"""Options that name an endpoint, shared by all that ask one for a judgement."""

from pydantic import BaseModel, ConfigDict, Field

from fitness.chat.costs import Prices


class EndpointOptions(BaseModel):
    """An OpenAI-compatible endpoint and the model to ask there."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    base_url: str = Field(description="address of an OpenAI-compatible endpoint, e.g. http://localhost:8000/v1")
    model: str = Field(description="the judge's name at that endpoint")
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key; never written anywhere"
    )
    concurrency: int = Field(8, ge=1, le=256, description="requests in progress at once")
    timeout_seconds: float = Field(60.0, gt=0, description="longest wait for one judgement, seconds")
    usd_per_million_in: float | None = Field(None, ge=0, description="price of a million prompt tokens, USD")
    usd_per_million_out: float | None = Field(None, ge=0, description="price of a million reply tokens, USD")

    @property
    def prices(self) -> Prices:
        """Prices of the judge's tokens."""
        return Prices(self.usd_per_million_in, self.usd_per_million_out)
