using System.Collections.Concurrent;
using System.Security.Cryptography;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Security;

/// <summary>
/// The tickets of a cluster, as one broker makes and verifies them. Their secret is a document of the state store: the broker that comes
/// first creates it, the others read it. While the store is away, what was read before counts. A ticket that was verified once is
/// remembered, so that the next call with it costs a look into memory. The ticket of a broker's call, and of a client's with a session, is
/// bound to what it calls: in wrong hands it is good for that target alone, until it expires. Thread safe.
/// </summary>
internal sealed class BrokerTickets : IAsyncDisposable
{
    /// <summary>How long a client's ticket is good at most.</summary>
    public static readonly TimeSpan ClientLife = TimeSpan.FromMinutes(10);

    /// <summary>How long a ticket is good that is bound to its target. It is renewed at half of it: the clocks of two brokers may differ by
    /// the other half.</summary>
    public static readonly TimeSpan BoundLife = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan UnboundLife = TimeSpan.FromHours(1);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    // More clients and targets than a broker has at a time: only what brokers and their clients have made is remembered.
    private const int MaxVerified = 20_000;

    // A grain's key may have megabytes, and a client chooses it.
    private const int MaxRemembered = 1_024;

    private readonly string _name;
    private readonly TimeProvider _clock;
    private readonly FollowedDocument<TicketDocument> _followed;
    private readonly ConcurrentDictionary<byte[], Verified> _verified = new(SameBytes.Instance);
    private readonly EngineLog _log;
    private readonly CancellationTokenSource _stopped = new();
    private readonly RareLine _unstored;
    private volatile BrokerTicket? _unbound;
    private Task? _creating;

    /// <param name="name">The broker's name in its own ticket.</param>
    /// <param name="store">Returns what holds the document. It is asked from <see cref="OpenAsync"/> on.</param>
    /// <param name="log">Receives what goes wrong.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="tell">Tells the other brokers that there is a version, and returns when they have it, or after a limit; null where
    /// there are none.</param>
    public BrokerTickets(string name, Func<IStateStore> store, EngineLog log, TimeProvider clock, Func<long, Task>? tell = null)
    {
        (_name, _log, _clock) = (name, log, clock);
        _unstored = new RareLine(log, clock);
        _followed = new FollowedDocument<TicketDocument>(new FollowedDocumentKind<TicketDocument>(TicketDocument.Key, "keys of tickets",
            TicketDocument.Empty, SecurityJson.Default.TicketDocument,
            "Until then this broker refuses the other brokers and all clients that have logged in, and is refused by them."), store, log,
            clock, tell)
        {
            Taken = (_, taken) => Take(taken),
        };
    }

    /// <summary>Makes this broker's own ticket for its calls of a target; null as long as the secret is not known. The caller keeps it
    /// while <see cref="IsCurrent"/>.</summary>
    /// <param name="target">What is called, in bytes: the same here and where it is verified.</param>
    public BrokerTicket? For(ReadOnlySpan<byte> target)
    {
        if (_followed.Current.Keys is not [var key, ..])
            return null;
        var now = _clock.GetUtcNow();
        if (key.IsBound)
            return new BrokerTicket(TicketFormat.WriteBound(new Ticket(TicketKind.Broker, _name, now + BoundLife), key, target),
                now + (BoundLife / 2), key);
        if (_unbound is { } unbound && IsCurrent(unbound))
            return unbound;
        return _unbound = new BrokerTicket(TicketFormat.Write(new Ticket(TicketKind.Broker, _name, now + UnboundLife), key),
            now + (UnboundLife / 2), key);
    }

    /// <summary>Whether calls still carry a ticket of <see cref="For"/>; else another one is made.</summary>
    public bool IsCurrent(BrokerTicket ticket) =>
        _followed.Current.Keys is [var key, ..] && ReferenceEquals(ticket.Key, key) && _clock.GetUtcNow() < ticket.RenewAt;

    /// <summary>The version of the secret that is in force here.</summary>
    public long Version => _followed.Current.Version;

    /// <summary>Reads the secret, or creates it. While the store does not answer, it goes on trying in the background.</summary>
    /// <param name="follows">Whether other brokers change it, too.</param>
    public async Task OpenAsync(bool follows)
    {
        await _followed.OpenAsync(follows).ConfigureAwait(false);
        if (!await TryCreateAsync().ConfigureAwait(false))
            _creating = Task.Run(CreateAsync, CancellationToken.None);
    }

    /// <summary>Handles the news of a version.</summary>
    /// <returns>Whether it is in force here; else it is read now.</returns>
    public bool Hear(long version) => _followed.Hear(version);

    /// <summary>Replaces the secret. Tickets of the one before are good until they expire, or the secret is replaced again, or
    /// dropped.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>.</exception>
    public ValueTask ReplaceKeyAsync(CancellationToken cancellationToken) =>
        _followed.ChangeAsync(static document => document.WithNewKey(), cancellationToken);

    /// <summary>Drops the secrets that were replaced: their tickets are refused from then on.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>.</exception>
    public ValueTask DropOldKeysAsync(CancellationToken cancellationToken) =>
        _followed.ChangeAsync(static document => document.WithoutOldKeys(), cancellationToken);

    /// <summary>Makes a client's ticket.</summary>
    /// <param name="principal">The principal.</param>
    /// <param name="until">When its credentials expire; null: never.</param>
    /// <param name="createdAt">The version that created the user; -1 for none.</param>
    /// <param name="changedAt">The version that changed the user's credentials last; -1 for none.</param>
    /// <param name="life">For how long the ticket is good.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: the secret is not known yet.</exception>
    public byte[] Issue(string principal, DateTimeOffset? until, long createdAt, long changedAt, out TimeSpan life)
    {
        if (_followed.Current.Keys is not [var key, ..])
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, "This broker has not read the keys of tickets yet. Retry.");
        var now = _clock.GetUtcNow();
        life = until - now is { } left && left < ClientLife ? left : ClientLife;
        return TicketFormat.Write(new Ticket(TicketKind.Client, principal, now + life) { CreatedAt = createdAt, ChangedAt = changedAt },
            key);
    }

    /// <summary>Opens the session of a client, beside the ticket of <see cref="Issue"/>, with which it is good at every grain.</summary>
    /// <param name="principal">The principal.</param>
    /// <param name="createdAt">The version that created the user; -1 for none.</param>
    /// <param name="changedAt">The version that changed the user's credentials last; -1 for none.</param>
    /// <param name="life">For how long the session is good.</param>
    /// <returns>Null as long as the key is of an earlier version, whose brokers know no sessions.</returns>
    public TicketSession? OpenSession(string principal, long createdAt, long changedAt, TimeSpan life)
    {
        if (_followed.Current.Keys is not [{ HasSessions: true } key, ..])
            return null;
        var now = _clock.GetUtcNow();
        var (session, secret) = TicketFormat.WriteSession(new Ticket(TicketKind.Client, principal, now + life)
        {
            CreatedAt = createdAt,
            ChangedAt = changedAt,
        }, key);
        return new TicketSession(session, secret, now);
    }

    /// <summary>Verifies a ticket.</summary>
    /// <param name="bytes">The ticket, which does not change afterwards.</param>
    /// <param name="target">What is called, for a ticket that is bound.</param>
    /// <param name="ticket">The ticket, where it is good.</param>
    public TicketFault Verify(byte[] bytes, ReadOnlySpan<byte> target, out Ticket? ticket)
    {
        var now = _clock.GetUtcNow();
        ticket = null;
        if (bytes.Length is >= TicketFormat.MinBytes and <= TicketFormat.MaxBytes && _verified.TryGetValue(bytes, out var known))
        {
            if (TicketFormat.IsBound(bytes) && !target.SequenceEqual(known.Target))
                return TicketFault.Forged;
            if (now < known.Ticket.ExpiresAt)
            {
                ticket = known.Ticket;
                return TicketFault.None;
            }
            _verified.TryRemove(bytes, out _);
            return TicketFault.Expired;
        }
        var keys = _followed.Current;
        var fault = TicketFormat.Read(bytes, keys, now, target, out ticket);
        if (fault == TicketFault.None)
        {
            if (target.Length > MaxRemembered)
                return fault;
            if (_verified.Count >= MaxVerified)
                _verified.Clear();
            _verified[bytes] = new Verified(ticket!, TicketFormat.IsBound(bytes) ? target.ToArray() : []);
            // The keys were replaced meanwhile: what was remembered may have been forgotten before.
            if (!ReferenceEquals(keys, _followed.Current))
                _verified.TryRemove(bytes, out _);
            return fault;
        }
        ticket = null;
        // Another broker may have replaced the secret. However often that is claimed, the document is read ten times a second at most.
        if (fault == TicketFault.UnknownKey)
            _followed.Hear(long.MaxValue);
        return fault;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync().ConfigureAwait(false);
        if (_creating is { } creating)
            await creating.ConfigureAwait(false);
        await _followed.DisposeAsync().ConfigureAwait(false);
    }

    private void Take(TicketDocument document)
    {
        _unbound = null;
        _verified.Clear();
        if (document.Keys is [{ IsBound: false }, ..])
            _log.Write(EngineLogLevel.Warning, "The key of tickets is of an earlier version: a broker's ticket is good at every grain. Run "
                + "'omq ticket replace-key' once all brokers are of this version.");
        else if (document.Keys is [{ HasSessions: false }, ..])
            _log.Write(EngineLogLevel.Warning, "The key of tickets is of an earlier version: a client's ticket is good at every grain. Run "
                + "'omq ticket replace-key' once all brokers are of this version.");
    }

    private async Task CreateAsync()
    {
        try
        {
            do
            {
                await Task.Delay(Pause, _clock, _stopped.Token).ConfigureAwait(false);
            }
            while (!await TryCreateAsync().ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The broker stops.
        }
    }

    private async Task<bool> TryCreateAsync()
    {
        if (!_followed.Current.Keys.IsEmpty)
            return true;
        try
        {
            await _followed.ChangeAsync(static document => document.Keys.IsEmpty ? document.WithNewKey() : document, _stopped.Token)
                .ConfigureAwait(false);
            return true;
        }
        catch (BrokerException failure)
        {
            _unstored.Write(EngineLogLevel.Warning, $"The keys of tickets could not be created: {failure.Message}", failure);
            return false;
        }
    }

    private sealed record Verified(Ticket Ticket, byte[] Target);

    private sealed class SameBytes : IEqualityComparer<byte[]>
    {
        public static SameBytes Instance { get; } = new();

        public bool Equals(byte[]? x, byte[]? y) => CryptographicOperations.FixedTimeEquals(x, y);

        // A client that has a session's secret can look for tickets with a hash; each process has other ones.
        public int GetHashCode(byte[] ticket)
        {
            var hash = new HashCode();
            hash.AddBytes(ticket.AsSpan(^sizeof(long)..));
            return hash.ToHashCode();
        }
    }
}
