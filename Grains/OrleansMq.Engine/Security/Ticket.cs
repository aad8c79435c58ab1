namespace OrleansMq.Security;

/// <summary>Whom a ticket stands for.</summary>
internal enum TicketKind : byte
{
    /// <summary>Nobody.</summary>
    None = 0,
    /// <summary>A client that has authenticated.</summary>
    Client = 1,
    /// <summary>A broker of the cluster, and the application in its silo.</summary>
    Broker = 2,
}

/// <summary>Why a ticket counts for nothing.</summary>
internal enum TicketFault
{
    /// <summary>It is good.</summary>
    None = 0,
    /// <summary>It is none, or of a format that this broker does not know.</summary>
    Malformed = 1,
    /// <summary>This broker does not know the key that it was made with.</summary>
    UnknownKey = 2,
    /// <summary>No broker has made it so, or not for the grain that is called.</summary>
    Forged = 3,
    /// <summary>Its time is over.</summary>
    Expired = 4,
    /// <summary>It is of a broker, good at every grain, and brokers make such no more with its key.</summary>
    Unbound = 5,
    /// <summary>It was made with a key that has been dropped.</summary>
    DroppedKey = 6,
}

/// <summary>What a call from another process carries to prove whose it is. Only brokers can make one.</summary>
/// <param name="Kind">Whom it stands for.</param>
/// <param name="Principal">The principal, such as <c>User:alice</c>; of a broker, its name.</param>
/// <param name="ExpiresAt">Until when it is good, to the millisecond.</param>
internal sealed record Ticket(TicketKind Kind, string Principal, DateTimeOffset ExpiresAt)
{
    /// <summary>The version that created the user; -1 for a principal that is no user of the cluster.</summary>
    public long CreatedAt { get; init; } = -1;

    /// <summary>The version that changed the user's credentials last, when it authenticated.</summary>
    public long ChangedAt { get; init; } = -1;
}
