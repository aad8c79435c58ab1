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
    /// <summary>The ticket; empty where the brokers ask for none.</summary>
    [Id(0)]
    public required byte[] Ticket { get; init; }

    /// <summary>For how long it is good. The client logs in again before.</summary>
    [Id(1)]
    public required TimeSpan Life { get; init; }

    /// <summary>Omits the ticket, which is a credential.</summary>
    public override string ToString() => nameof(LoginAnswer);
}
