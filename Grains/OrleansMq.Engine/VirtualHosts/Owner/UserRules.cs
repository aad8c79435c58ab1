namespace OrleansMq.VirtualHosts;

/// <summary>Which user an installation begins with, and whose names no user takes.</summary>
internal sealed record UserRules
{
    /// <summary>Whether a name belongs to a super user of the broker, which no user of AMQP is.</summary>
    public Func<string, bool> IsReserved { get; init; } = static _ => false;

    /// <summary>The first user; null: guest, with its name as the password.</summary>
    public FirstUser? First { get; init; }
}

/// <summary>A user and its password.</summary>
/// <param name="Name">The name.</param>
/// <param name="Password">The password.</param>
internal sealed record FirstUser(string Name, string Password)
{
    /// <summary>The text without the password.</summary>
    public override string ToString() => Name;
}
