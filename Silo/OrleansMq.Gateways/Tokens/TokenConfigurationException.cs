namespace OrleansMq.Gateways.Tokens;

/// <summary>The keys of tokens cannot be used.</summary>
internal sealed class TokenConfigurationException(string message, Exception? inner = null) : Exception(message, inner);
