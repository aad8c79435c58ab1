using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using OrleansMq.State;

namespace OrleansMq.Security;

/// <summary>A secret that the brokers of a cluster share.</summary>
/// <param name="Id">Its number, which tickets name.</param>
/// <param name="Secret">32 random bytes.</param>
internal sealed record TicketKey(uint Id, byte[] Secret)
{
    /// <summary>Bytes of a secret.</summary>
    public const int SecretBytes = 32;

    /// <summary>Whether a broker's ticket that is made with it is bound to what it calls. Only keys of earlier versions are
    /// without.</summary>
    public bool IsBound { get; init; }

    /// <summary>Whether clients that log in get a session under it, by which they bind the tickets of their calls themselves. Only keys of
    /// earlier versions are without: a broker of such a version does not read those tickets.</summary>
    public bool HasSessions { get; init; }

    /// <summary>A new secret.</summary>
    public static TicketKey Create() => new(BinaryPrimitives.ReadUInt32BigEndian(RandomNumberGenerator.GetBytes(sizeof(uint))),
        RandomNumberGenerator.GetBytes(SecretBytes)) { IsBound = true, HasSessions = true };

    /// <summary>Omits the secret.</summary>
    public override string ToString() => $"{nameof(TicketKey)} {Id}";
}

/// <summary>The document with the secrets that tickets are made with. The broker that comes first creates it.</summary>
/// <param name="Version">Rises with each change.</param>
/// <param name="Id">Another with each change.</param>
/// <param name="Keys">The secrets. New tickets are made with the first; those of all others are still good.</param>
internal sealed record TicketDocument(long Version, Guid Id, ImmutableArray<TicketKey> Keys) : IFollowedDocument
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "security/tickets";

    // A ticket of the last one may still be on its way.
    private const int MaxKeys = 2;
    // For the answer to a ticket of one of them. Tickets are good for minutes.
    private const int MaxDropped = 16;

    /// <summary>The numbers of the last secrets that were dropped, the latest first.</summary>
    public ImmutableArray<uint> Dropped { get => field.IsDefault ? [] : field; init; }

    /// <summary>The document before the first change.</summary>
    public static TicketDocument Empty { get; } = new(0, Guid.Empty, []);

    /// <summary>The document of the next version, with a new secret for new tickets.</summary>
    public TicketDocument WithNewKey() => With([TicketKey.Create(), .. Keys.Take(MaxKeys - 1)]);

    /// <summary>The document of the next version, with the secret of new tickets alone; this one where there is no other.</summary>
    public TicketDocument WithoutOldKeys() => Keys.Length <= 1 ? this : With(Keys[..1]);

    /// <summary>The secret with a number; null for none.</summary>
    public TicketKey? Find(uint id)
    {
        foreach (var key in Keys)
        {
            if (key.Id == id)
                return key;
        }
        return null;
    }

    /// <summary>Omits the secrets.</summary>
    public override string ToString() => $"{nameof(TicketDocument)} {Version}";

    private TicketDocument With(ImmutableArray<TicketKey> keys) => new(Version + 1, Guid.NewGuid(), keys)
    {
        Dropped = [.. Keys.Except(keys).Select(static key => key.Id).Concat(Dropped).Take(MaxDropped)],
    };
}
