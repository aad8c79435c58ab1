using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Security;

/// <summary>
/// The bytes of tickets, in network order: a version (1), the kind (1), the key's number (4), the expiry in Unix milliseconds (8), the
/// user's versions (8 and 8), the principal in UTF-8, and the HMAC-SHA256 over all of it (32).
/// <para>Of version 2 are the tickets of brokers that are bound to a target: the HMAC is over the target, with its length (4), and then
/// over the ticket. The target itself is not in the ticket. The verifier knows the target that was called.</para>
/// <para>Of version 3 are those that a client makes itself, bound likewise. They begin with its session, which is a ticket of that version
/// up to the principal; the proof's own expiry follows (8), and the HMAC with the session's secret. The secret is the HMAC of the session
/// with the cluster's key: brokers derive it again, and only the client is told.</para>
/// </summary>
internal static class TicketFormat
{
    /// <summary>The largest principal, in bytes.</summary>
    public const int MaxPrincipalBytes = 2_048;

    /// <summary>The largest ticket, in bytes.</summary>
    public const int MaxBytes = HeadBytes + MaxPrincipalBytes + sizeof(long) + HMACSHA256.HashSizeInBytes;

    /// <summary>The smallest ticket, in bytes.</summary>
    public const int MinBytes = HeadBytes + HMACSHA256.HashSizeInBytes;

    private const byte Unbound = 1;
    private const byte Bound = 2;
    private const byte Session = 3;
    private const int KindAt = 1;
    private const int KeyAt = 2;
    private const int ExpiryAt = 6;
    private const int CreatedAt = 14;
    private const int ChangedAt = 22;
    private const int HeadBytes = 30;
    private const int MaxOnStack = 512;

    // Throws for text that is not whole, so that two principals never have the same bytes.
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Whether a ticket can name a principal.</summary>
    public static bool CanName(string principal)
    {
        try
        {
            return principal.Length <= MaxPrincipalBytes && Utf8.GetByteCount(principal) <= MaxPrincipalBytes;
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }

    /// <summary>Whether a ticket claims to be bound to a target.</summary>
    public static bool IsBound(ReadOnlySpan<byte> bytes) => bytes is [Bound or Session, ..];

    /// <summary>Makes a ticket that is good at every grain.</summary>
    public static byte[] Write(Ticket ticket, TicketKey key) => Write(ticket, key, Unbound, default);

    /// <summary>Makes a ticket that is good at one target.</summary>
    public static byte[] WriteBound(Ticket ticket, TicketKey key, ReadOnlySpan<byte> target) => Write(ticket, key, Bound, target);

    /// <summary>Makes the session of a client, with the secret that <see cref="Prove"/> takes.</summary>
    public static (byte[] Session, byte[] Secret) WriteSession(Ticket ticket, TicketKey key)
    {
        var session = WriteHead(ticket, key, Session, reserved: 0);
        return (session, HMACSHA256.HashData(key.Secret, session));
    }

    /// <summary>Makes the ticket of a client that is good at one target.</summary>
    /// <param name="session">The client's session.</param>
    /// <param name="secret">The session's secret.</param>
    /// <param name="until">Until when the ticket is good, by the clock of brokers; with its session it ends in any case.</param>
    /// <param name="target">What is called.</param>
    public static byte[] Prove(ReadOnlySpan<byte> session, ReadOnlySpan<byte> secret, DateTimeOffset until, ReadOnlySpan<byte> target)
    {
        var bytes = new byte[session.Length + sizeof(long) + HMACSHA256.HashSizeInBytes];
        session.CopyTo(bytes);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(session.Length), until.ToUnixTimeMilliseconds());
        AuthenticateBound(secret, target, bytes.AsSpan(..^HMACSHA256.HashSizeInBytes), bytes.AsSpan(^HMACSHA256.HashSizeInBytes..));
        return bytes;
    }

    private static byte[] Write(Ticket ticket, TicketKey key, byte version, ReadOnlySpan<byte> target)
    {
        var bytes = WriteHead(ticket, key, version, HMACSHA256.HashSizeInBytes);
        Authenticate(key, target, bytes.AsSpan(..^HMACSHA256.HashSizeInBytes), bytes.AsSpan(^HMACSHA256.HashSizeInBytes..));
        return bytes;
    }

    private static byte[] WriteHead(Ticket ticket, TicketKey key, byte version, int reserved)
    {
        if (!CanName(ticket.Principal))
            throw new ArgumentException($"A ticket names a principal of at most {MaxPrincipalBytes:N0} bytes in UTF-8.", nameof(ticket));
        var bytes = new byte[HeadBytes + Utf8.GetByteCount(ticket.Principal) + reserved];
        bytes[0] = version;
        bytes[KindAt] = (byte)ticket.Kind;
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(KeyAt), key.Id);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(ExpiryAt), ticket.ExpiresAt.ToUnixTimeMilliseconds());
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(CreatedAt), ticket.CreatedAt);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(ChangedAt), ticket.ChangedAt);
        Utf8.GetBytes(ticket.Principal, bytes.AsSpan(HeadBytes));
        return bytes;
    }

    /// <summary>Verifies a ticket, and reads it. What is not verified is not looked into, but for the number of its key.</summary>
    /// <param name="bytes">The ticket.</param>
    /// <param name="keys">The secrets of the cluster.</param>
    /// <param name="now">The time.</param>
    /// <param name="target">What is called, for a ticket that is bound.</param>
    /// <param name="ticket">The ticket, where it is good or expired.</param>
    public static TicketFault Read(ReadOnlySpan<byte> bytes, TicketDocument keys, DateTimeOffset now, ReadOnlySpan<byte> target,
        out Ticket? ticket)
    {
        ticket = null;
        var tail = (bytes is [Session, ..] ? sizeof(long) : 0) + HMACSHA256.HashSizeInBytes;
        if (bytes.Length < HeadBytes + tail || bytes.Length > HeadBytes + MaxPrincipalBytes + tail
            || bytes[0] is not (Unbound or Bound or Session))
            return TicketFault.Malformed;
        var id = BinaryPrimitives.ReadUInt32BigEndian(bytes[KeyAt..]);
        if (keys.Find(id) is not { } key)
        {
            // A broker reads the new key, and a client has to log in. Which of the two it is, is not verified: it chooses the answer alone.
            return keys.Dropped.Contains(id) && bytes[KindAt] != (byte)TicketKind.Broker ? TicketFault.DroppedKey : TicketFault.UnknownKey;
        }
        Span<byte> expected = stackalloc byte[HMACSHA256.HashSizeInBytes];
        Authenticate(key, target, bytes[..^HMACSHA256.HashSizeInBytes], expected);
        if (!CryptographicOperations.FixedTimeEquals(expected, bytes[^HMACSHA256.HashSizeInBytes..]))
            return TicketFault.Forged;
        var kind = (TicketKind)bytes[KindAt];
        if (kind is not (TicketKind.Client or TicketKind.Broker) || (kind == TicketKind.Broker && bytes[0] == Session))
            return TicketFault.Malformed;
        if (kind == TicketKind.Broker && bytes[0] == Unbound && key.IsBound)
            return TicketFault.Unbound;
        var expiry = BinaryPrimitives.ReadInt64BigEndian(bytes[ExpiryAt..]);
        if (bytes[0] == Session)
            expiry = Math.Clamp(BinaryPrimitives.ReadInt64BigEndian(bytes[^tail..]), 0, expiry);
        ticket = new Ticket(kind, Utf8.GetString(bytes[HeadBytes..^tail]), DateTimeOffset.FromUnixTimeMilliseconds(expiry))
        {
            CreatedAt = BinaryPrimitives.ReadInt64BigEndian(bytes[CreatedAt..]),
            ChangedAt = BinaryPrimitives.ReadInt64BigEndian(bytes[ChangedAt..]),
        };
        return now < ticket.ExpiresAt ? TicketFault.None : TicketFault.Expired;
    }

    private static void Authenticate(TicketKey key, ReadOnlySpan<byte> target, ReadOnlySpan<byte> ticket, Span<byte> code)
    {
        if (ticket[0] == Unbound)
        {
            HMACSHA256.HashData(key.Secret, ticket, code);
            return;
        }
        if (ticket[0] == Bound)
        {
            AuthenticateBound(key.Secret, target, ticket, code);
            return;
        }
        Span<byte> secret = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(key.Secret, ticket[..^sizeof(long)], secret);
        AuthenticateBound(secret, target, ticket, code);
    }

    private static void AuthenticateBound(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> target, ReadOnlySpan<byte> ticket, Span<byte> code)
    {
        var length = sizeof(int) + target.Length + ticket.Length;
        Span<byte> all = length <= MaxOnStack ? stackalloc byte[MaxOnStack] : new byte[length];
        BinaryPrimitives.WriteInt32BigEndian(all, target.Length);
        target.CopyTo(all[sizeof(int)..]);
        ticket.CopyTo(all[(sizeof(int) + target.Length)..]);
        HMACSHA256.HashData(secret, all[..length], code);
    }
}
