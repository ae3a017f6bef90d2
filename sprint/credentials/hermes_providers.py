"""The providers that hermes has names for, as far as they speak OpenAI's chat completions (hermes 0.19)."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct


class Provider(Struct, frozen=True):
    """Its address, the variables that hold its key, and the one that holds another address of its."""

    url: str
    keys: tuple[str, ...]
    url_variable: str = ""
    needs_key: bool = True


OPENROUTER = "openrouter"
OPENAI = "openai-api"
NOUS = "nous"
NOUS_URL = "https://inference-api.nousresearch.com/v1"

PROVIDERS = {
    OPENROUTER: Provider("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), "OPENROUTER_BASE_URL"),
    OPENAI: Provider("https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL"),
    "lmstudio": Provider("http://127.0.0.1:1234/v1", ("LM_API_KEY",), "LM_BASE_URL", needs_key=False),
    "gemini": Provider(
        "https://generativelanguage.googleapis.com/v1beta/openai", ("GOOGLE_API_KEY", "GEMINI_API_KEY")
    ),
    "zai": Provider(
        "https://api.z.ai/api/paas/v4", ("GLM_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY"), "GLM_BASE_URL"
    ),
    "kimi-coding": Provider("https://api.moonshot.ai/v1", ("KIMI_API_KEY",), "KIMI_BASE_URL"),
    "kimi-coding-cn": Provider("https://api.moonshot.cn/v1", ("KIMI_CN_API_KEY",)),
    "arcee": Provider("https://api.arcee.ai/api/v1", ("ARCEEAI_API_KEY",), "ARCEE_BASE_URL"),
    "gmi": Provider("https://api.gmi-serving.com/v1", ("GMI_API_KEY",), "GMI_BASE_URL"),
    "alibaba": Provider(
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", ("DASHSCOPE_API_KEY",), "DASHSCOPE_BASE_URL"
    ),
    "deepseek": Provider("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",), "DEEPSEEK_BASE_URL"),
    "xai": Provider("https://api.x.ai/v1", ("XAI_API_KEY",), "XAI_BASE_URL"),
    "nvidia": Provider("https://integrate.api.nvidia.com/v1", ("NVIDIA_API_KEY",), "NVIDIA_BASE_URL"),
    "kilocode": Provider("https://api.kilo.ai/api/gateway", ("KILOCODE_API_KEY",), "KILOCODE_BASE_URL"),
    "huggingface": Provider("https://router.huggingface.co/v1", ("HF_TOKEN",), "HF_BASE_URL"),
    "xiaomi": Provider("https://api.xiaomimimo.com/v1", ("XIAOMI_API_KEY",), "XIAOMI_BASE_URL"),
    "ollama-cloud": Provider("https://ollama.com/v1", ("OLLAMA_API_KEY",)),
}

# Whose key may go to a server of one's own choice: exactly its own host.
KEYS_OF_HOSTS = {
    "api.groq.com": ("GROQ_API_KEY",),
    "api.mistral.ai": ("MISTRAL_API_KEY",),
    "api.fireworks.ai": ("FIREWORKS_API_KEY",),
    "api.together.xyz": ("TOGETHER_API_KEY",),
    **{str(urlsplit(provider.url).hostname): provider.keys for provider in PROVIDERS.values()},
}

# Another dialect than chat completions, or a login that only hermes renews.
ONLY_HERMES_CALLS = frozenset(
    {
        "anthropic",
        "azure-foundry",
        "bedrock",
        "copilot",
        "copilot-acp",
        "minimax",
        "minimax-cn",
        "minimax-oauth",
        "moa",
        "openai-codex",
        "opencode-go",
        "opencode-zen",
        "qwen-oauth",
        "stepfun",
        "vertex",
        "xai-oauth",
    }
)

_ALIASES = {
    "openai": OPENAI,
    "lm-studio": "lmstudio",
    "lm_studio": "lmstudio",
    "google": "gemini",
    "google-ai-studio": "gemini",
    "glm": "zai",
    "z-ai": "zai",
    "z.ai": "zai",
    "zhipu": "zai",
    "kimi": "kimi-coding",
    "moonshot": "kimi-coding",
    "moonshot-cn": "kimi-coding-cn",
    "grok": "xai",
    "x-ai": "xai",
    "x.ai": "xai",
    "hf": "huggingface",
    "hugging-face": "huggingface",
    "mimo": "xiaomi",
    "kilo": "kilocode",
    "kilo-code": "kilocode",
    "claude": "anthropic",
    "claude-code": "anthropic",
    "github": "copilot",
    "github-copilot": "copilot",
    "aws": "bedrock",
    "codex": "openai-codex",
    "opencode": "opencode-zen",
    "ollama_cloud": "ollama-cloud",
    "vllm": "custom",
    "llamacpp": "custom",
    "llama.cpp": "custom",
    "llama-cpp": "custom",
}


def canonical(provider: str) -> str:
    """The provider that a name in the configuration means."""
    name = provider.strip().lower()
    return _ALIASES.get(name, name)
