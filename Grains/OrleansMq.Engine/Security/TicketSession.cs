namespace OrleansMq.Security;

/// <summary>The session of a client that has authenticated, by which it binds the tickets of its calls to what they call.</summary>
/// <param name="Session">What its tickets begin with.</param>
/// <param name="Secret">What they are made with. No call carries it.</param>
/// <param name="At">The broker's time when it began.</param>
internal sealed record TicketSession(byte[] Session, byte[] Secret, DateTimeOffset At)
{
    /// <summary>Makes a ticket that is good at one target.</summary>
    /// <param name="elapsed">The time since the session began.</param>
    /// <param name="target">What is called, in bytes.</param>
    public byte[] Prove(TimeSpan elapsed, ReadOnlySpan<byte> target) =>
        TicketFormat.Prove(Session, Secret, At + elapsed + BrokerTickets.BoundLife, target);

    /// <summary>Whether a ticket is of this session.</summary>
    public bool Made(ReadOnlySpan<byte> ticket) => ticket.StartsWith(Session);

    /// <summary>Omits the secret, which is a credential.</summary>
    public override string ToString() => nameof(TicketSession);
}
