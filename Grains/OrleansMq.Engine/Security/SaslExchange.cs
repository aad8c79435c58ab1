using System.Text;

namespace OrleansMq.Security;

/// <summary>What a step of an authentication came to.</summary>
/// <param name="Response">What the client is answered.</param>
/// <param name="Principal">The client, where it is authenticated now, such as <c>User:alice</c>; null otherwise.</param>
/// <param name="Failure">Why it failed, for the client; null where it did not. It does not tell whether the user exists.</param>
/// <param name="ExpiresAt">When the credentials expire; null: never.</param>
/// <param name="CreatedAt">The version that created the user: another one of the same name has another. Null for a client that is no
/// user of the broker.</param>
/// <param name="ChangedAt">The version that changed the user's credentials last, of a mechanism that has the password in its only
/// message; null otherwise.</param>
/// <param name="IsRefusal">Whether the response tells the client that it is refused, which it acknowledges before it has failed.</param>
internal readonly record struct SaslStep(byte[] Response, string? Principal = null, string? Failure = null,
    DateTimeOffset? ExpiresAt = null, long? CreatedAt = null, long? ChangedAt = null, bool IsRefusal = false)
{
    /// <summary>A failed step.</summary>
    public static SaslStep Failed(string mechanism) =>
        new([], Failure: $"Authentication failed: the credentials for {mechanism} are invalid.");
}

/// <summary>One authentication by SASL (RFC 4422): the client's messages in, the server's out. For one caller at a time.</summary>
internal abstract class SaslExchange
{
    /// <summary>The largest message of a client, in bytes, as in Kafka.</summary>
    public const int MaxMessageBytes = 512 << 10;

    /// <summary>Begins an authentication.</summary>
    /// <param name="mechanism">The mechanism's name in SASL.</param>
    /// <param name="security">The users.</param>
    /// <param name="host">The client's address; empty where it is not known.</param>
    /// <returns>Null for a mechanism that is not offered.</returns>
    public static SaslExchange? Begin(string mechanism, BrokerSecurity security, string host) =>
        !security.Mechanisms.Contains(mechanism) ? null : mechanism switch
        {
            PlainExchange.Name => new PlainExchange(security, host),
            BearerExchange.Name when security.Tokens is { } tokens => new BearerExchange(tokens),
            _ when ScramMechanisms.Parse(mechanism) is not ScramMechanism.Unknown and var scram => new ScramServerExchange(scram, security),
            _ => null,
        };

    /// <summary>The mechanisms that there are.</summary>
    public static IReadOnlyList<string> Known { get; } =
        [PlainExchange.Name, ScramMechanism.Sha256.Name(), ScramMechanism.Sha512.Name(), BearerExchange.Name];

    /// <summary>Handles the client's next message.</summary>
    /// <exception cref="IOException">The store of users does not answer: the client may try again.</exception>
    public abstract ValueTask<SaslStep> NextAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken);
}

/// <summary>PLAIN (RFC 4616): the password itself, which only TLS protects.</summary>
internal sealed class PlainExchange(BrokerSecurity security, string host) : SaslExchange
{
    /// <summary>The mechanism's name.</summary>
    public const string Name = "PLAIN";

    // Longer passwords only take time.
    private const int MaxBytes = 4_096;

    /// <inheritdoc/>
    public override async ValueTask<SaslStep> NextAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        // The identity to act as, the user, the password, each after a zero but for the first.
        var parts = message.Length <= MaxBytes ? Encoding.UTF8.GetString(message.Span).Split('\0') : [];
        if (parts.Length != 3 || parts[1].Length == 0 || parts[2].Length == 0 || (parts[0].Length > 0 && parts[0] != parts[1]))
            return SaslStep.Failed(Name);
        // Read before: a user that is created in between is another one, and a password that is set in between another, too.
        var (createdAt, changedAt) = (security.CreatedAt(parts[1]), security.ChangedAt(parts[1]));
        return await security.VerifiesAsync(parts[1], parts[2], host, cancellationToken).ConfigureAwait(false)
            ? new SaslStep([], BrokerSecurity.PrincipalOf(parts[1]), CreatedAt: createdAt, ChangedAt: changedAt) : SaslStep.Failed(Name);
    }
}

/// <summary>SCRAM over the users of a broker.</summary>
internal sealed class ScramServerExchange(ScramMechanism mechanism, BrokerSecurity security) : SaslExchange
{
    private readonly ScramExchange _exchange = new(mechanism);
    private bool _isChallenged;
    private long _createdAt;

    /// <inheritdoc/>
    public override async ValueTask<SaslStep> NextAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        if (_isChallenged)
            return _exchange.TryFinish(message.Span, out var signature)
                ? new SaslStep(signature, BrokerSecurity.PrincipalOf(_exchange.User), CreatedAt: _createdAt)
                : SaslStep.Failed(mechanism.Name());
        if (!_exchange.TryBegin(message.Span))
            return SaslStep.Failed(mechanism.Name());
        _createdAt = security.CreatedAt(_exchange.User);
        var credential = await security.ChallengeAsync(_exchange.User, mechanism, cancellationToken).ConfigureAwait(false);
        _isChallenged = true;
        return new SaslStep(_exchange.Challenge(credential));
    }
}
