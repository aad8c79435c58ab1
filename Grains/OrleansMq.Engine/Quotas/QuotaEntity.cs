using System.Net;

namespace OrleansMq.Quotas;

/// <summary>Whom a quota is about: a user, a client id, both, or an address. Null: not by that; <see cref="Default"/>: every one of that
/// kind without a quota of its own.</summary>
/// <param name="User">The user's name, without <c>User:</c>.</param>
/// <param name="ClientId">The name that a client gives itself.</param>
/// <param name="Ip">The address that a client connects from.</param>
internal readonly record struct QuotaEntity(string? User, string? ClientId = null, string? Ip = null)
{
    /// <summary>Stands for every one without a quota of its own. No name is empty.</summary>
    public const string Default = "";

    /// <summary>Kafka's names of the kinds.</summary>
    public const string UserType = "user", ClientIdType = "client-id", IpType = "ip";

    /// <summary>The most characters of a client id that quotas tell apart.</summary>
    public const int MaxClientIdLength = 255;

    private const int MaxNameLength = 1_024;

    /// <summary>The parts that are set, by Kafka's name of their kind.</summary>
    public IEnumerable<(string Type, string Name)> Parts
    {
        get
        {
            if (User is not null)
                yield return (UserType, User);
            if (ClientId is not null)
                yield return (ClientIdType, ClientId);
            if (Ip is not null)
                yield return (IpType, Ip);
        }
    }

    /// <summary>Returns the part of a kind; null where it is not set.</summary>
    public string? PartOf(string type) => type switch { UserType => User, ClientIdType => ClientId, IpType => Ip, _ => null };

    /// <summary>Returns what is wrong; null if nothing is.</summary>
    public string? Fault() =>
        User is null && ClientId is null && Ip is null ? "A quota is of a user, a client-id, both, or an ip: none is given."
        : Ip is not null && (User is not null || ClientId is not null)
            ? "A quota of an ip is not one of a user or a client-id, too."
        : Ip is { Length: > 0 } ip && (!IPAddress.TryParse(ip, out var address) || address.ToString() != ip)
            ? $"The ip is '{ip}'; give an address in its usual form, such as 10.0.0.7 or 2001:db8::1."
        : Parts.Any(static part => part.Name.Length > MaxNameLength || part.Name.Any(char.IsControl))
            ? $"A name has at most {MaxNameLength} characters, and no control characters."
        : ClientId is { Length: > MaxClientIdLength }
            ? $"The client-id has {ClientId.Length} characters; quotas are of ids of at most {MaxClientIdLength}."
        : null;

    /// <summary>Returns what is wrong with a limit of this entity; null if nothing is.</summary>
    public string? FaultOf(QuotaKey key, double value) =>
        key.IsOfAddress() != Ip is not null
            ? $"{key.Name()} is a quota of {(key.IsOfAddress() ? "an ip" : "a user or client-id")}, not of {this}."
            : QuotaKeys.FaultOf(key, value);

    /// <summary>The entity as a part of a sentence, such as <c>user 'alice', client-id (default)</c>.</summary>
    public override string ToString() =>
        string.Join(", ", Parts.Select(static part => part.Name == Default ? $"{part.Type} (default)" : $"{part.Type} '{part.Name}'"));
}
