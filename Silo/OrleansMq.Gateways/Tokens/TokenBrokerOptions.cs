using OrleansMq.Brokers;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Tokens;

/// <summary>Has a broker accept tokens.</summary>
public static class TokenBrokerOptions
{
    /// <summary>
    /// Lets clients authenticate by JSON Web Tokens: over Kafka and Orleans with <c>OAUTHBEARER</c>, over HTTP with <c>Authorization:
    /// Bearer</c>, such as <c>silo.AddOrleansMq(options => (options with { DataDirectory = "/var/lib/omq" }).WithTokens(new TokenOptions {
    /// Keys = "https://issuer.example.com/keys", Issuer = "https://issuer.example.com", Audiences = ["orleansmq"] }))</c>.
    /// Unless <see cref="BrokerOptions.Authorizer"/> or <see cref="SecurityOptions.Authorization"/> is set, the broker enforces rules then:
    /// set <see cref="SecurityOptions.SuperUsers"/> or <see cref="SecurityOptions.AdminPassword"/>, too.
    /// </summary>
    /// <param name="options">The broker's options, with the log and the <see cref="BrokerOptions.Security"/> that it has.</param>
    /// <param name="tokens">Which tokens count.</param>
    /// <returns>The options with the tokens. A later change of the options sets <see cref="BrokerOptions.Security"/> only by <c>with</c>,
    /// else the tokens are gone.</returns>
    /// <exception cref="ArgumentException">An option of the tokens is not valid; the message names it.</exception>
    /// <exception cref="TokenConfigurationException">The keys are in a file that cannot be used.</exception>
    public static BrokerOptions WithTokens(this BrokerOptions options, TokenOptions tokens)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(tokens);
        tokens.Validate();
        // A file that cannot be used is refused here, where it is named, and not by the broker's start.
        new SigningKeys(tokens.Keys, options.TimeProvider, options.Log).Dispose();
        return options with
        {
            Security = options.Security with { Tokens = () => new JwtVerifier(tokens, options.TimeProvider, options.Log) },
        };
    }
}
