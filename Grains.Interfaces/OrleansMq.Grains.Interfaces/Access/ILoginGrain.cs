namespace OrleansMq.Grains.Access;

/// <summary>
/// Authenticates Orleans' clients: the one grain that is open to strangers. Callers see one, under the key
/// <see cref="GrainKeys.Cluster"/>; every silo answers for itself.
/// </summary>
[Alias("omq.ILoginGrain")]
internal interface ILoginGrain : IGrainWithStringKey
{
    /// <summary>Gives a client a ticket, which its calls carry from then on.</summary>
    /// <param name="mechanism">A SASL mechanism of one message: <c>PLAIN</c>, <c>OAUTHBEARER</c>.</param>
    /// <param name="message">The message.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.SaslAuthenticationFailed"/>: the credentials are not good.
    /// <see cref="ErrorCode.UnsupportedSaslMechanism"/>. <see cref="ErrorCode.CoordinatorNotAvailable"/>: the store of users does not
    /// answer; retry.</exception>
    [Alias("LogIn")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<LoginAnswer> LogInAsync(string mechanism, byte[] message, CancellationToken cancellationToken = default);
}

/// <summary>What a client gets that has authenticated.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.LoginAnswer")]
internal sealed record LoginAnswer
{
    /// <summary>The ticket that is good at every grain; empty where the brokers ask for none. A client uses it where there is no
    /// <see cref="Session"/>.</summary>
    [Id(0)]
    public required byte[] Ticket { get; init; }

    /// <summary>For how long it is good. The client logs in again before.</summary>
    [Id(1)]
    public required TimeSpan Life { get; init; }

    /// <summary>What the tickets begin with that the client makes itself, each good at one grain; null: the brokers read none.</summary>
    [Id(2)]
    public byte[]? Session { get; init; }

    /// <summary>What the client makes them with; null without a session.</summary>
    [Id(3)]
    public byte[]? Secret { get; init; }

    /// <summary>The broker's time, from which the client counts: its own clock may be wrong.</summary>
    [Id(4)]
    public DateTimeOffset At { get; init; }

    /// <summary>Omits the ticket and the secret, which are credentials.</summary>
    public override string ToString() => nameof(LoginAnswer);
}
