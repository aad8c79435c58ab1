namespace OrleansMq.Security;

/// <summary>A ticket of this broker, for its calls of one target.</summary>
/// <param name="Bytes">The ticket.</param>
/// <param name="RenewAt">When the next one is made, some time before this one expires.</param>
/// <param name="Key">The key that it was made with.</param>
internal sealed record BrokerTicket(byte[] Bytes, DateTimeOffset RenewAt, TicketKey Key)
{
    /// <summary>Omits the ticket, which is a credential.</summary>
    public override string ToString() => nameof(BrokerTicket);
}
