using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Security;

/// <summary>
/// Users and rules of a cluster, as one broker knows them. They are documents of the state store, which every broker changes by
/// compare-and-swap; no broker owns them. The others are told after a change, and look from time to time, in case they were not.
/// <para>Decisions and known users come from memory, also while the store is away. A broker that has not read the document yet refuses
/// whatever is not a super user's. Thread safe.</para>
/// </summary>
internal sealed class BrokerSecurity : ISecurity, IAsyncDisposable
{
    // A change is tried again when another broker's came first.
    private const int MaxTries = 20;
    private const int MaxKnownUsers = 10_000;
    // How old credentials may be while the store answers.
    private static readonly TimeSpan KnownFor = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    // Verifications of passwords at a time: each keeps a processor busy for milliseconds.
    private static readonly int Verifiers = Math.Max(Environment.ProcessorCount / 2, 1);

    // Logins that wait for their turn: what the processors verify in a second or two.
    private const int MaxWaiting = 256;
    // Between two looks at the store, however often there is news.
    private static readonly TimeSpan LeastPause = TimeSpan.FromMilliseconds(100);

    private readonly Func<IStateStore> _findStore;
    private readonly SecurityOptions _options;
    private readonly EngineLog _log;
    private readonly TimeProvider _clock;
    private readonly Func<long, Task>? _tell;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly SemaphoreSlim _verifying = new(Verifiers, Verifiers);
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly CancellationTokenSource _stopped = new();
    private readonly ConcurrentDictionary<string, KnownUser> _known = new(StringComparer.Ordinal);
    private readonly Lazy<ScramCredential> _nobody = new(static () =>
        ScramCredential.Create(ScramMechanism.Sha256, Convert.ToHexString(RandomNumberGenerator.GetBytes(16))));
    private readonly RareLine _unreachable;
    private Task? _following;
    private int _waiting;
    private volatile SecurityDocument _document = SecurityDocument.Empty;
    private volatile bool _isRead;

    /// <param name="store">Returns what holds the documents. It is asked from <see cref="OpenAsync"/> on.</param>
    /// <param name="options">Limits and super users.</param>
    /// <param name="authorizer">Decides by the rules that are read.</param>
    /// <param name="log">Receives what goes wrong.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="tell">Tells the other brokers that there is a version, and returns when they have it, or after a limit; null where
    /// there are none.</param>
    public BrokerSecurity(Func<IStateStore> store, SecurityOptions options, AclAuthorizer authorizer, EngineLog log, TimeProvider clock,
        Func<long, Task>? tell = null)
    {
        (_findStore, _options, Authorizer, _log, _clock, _tell) = (store, options, authorizer, log, clock, tell);
        _unreachable = new RareLine(log, clock);
        Mechanisms = [.. SaslExchange.Known.Where(name => options.SaslMechanisms.Contains(name)
            && (name != BearerExchange.Name || options.Tokens is not null))];
    }

    /// <summary>The principal of a user.</summary>
    public static string PrincipalOf(string user) => "User:" + user;

    /// <summary>Decides what sessions may do.</summary>
    public AclAuthorizer Authorizer { get; }

    /// <summary>Whether the rules decide, or at least warn.</summary>
    public bool IsEnabled => _options.Authorization != AuthorizationMode.Off;

    /// <summary>Who decides: the rules where they are switched on, the host's own authorizer otherwise.</summary>
    public IAuthorizer AuthorizerOver(IAuthorizer other) => IsEnabled ? Authorizer : other;

    /// <summary>Verifies tokens; null where none are accepted.</summary>
    public ITokenVerifier? Tokens => _options.Tokens;

    /// <summary>The SASL mechanisms that are offered.</summary>
    public IReadOnlyList<string> Mechanisms { get; }

    /// <summary>The version of what is in force here.</summary>
    public long Version => _document.Version;

    /// <summary>A secret of the cluster, for what users that do not exist are answered.</summary>
    public ReadOnlySpan<byte> Decoy => _document.Secret is { Length: > 0 } secret ? secret : _nobody.Value.StoredKey;

    /// <summary>Whether a user exists, as far as this broker knows.</summary>
    public bool Has(string user) => _document.Users.ContainsKey(user);

    /// <summary>The version that created a user; -1 where there is none. A later user of the same name has another.</summary>
    public long CreatedAt(string user) => _document.Users.TryGetValue(user, out var entry) ? entry.CreatedAt : -1;

    /// <summary>The version that changed a user's credentials last; -1 where there is none.</summary>
    public long ChangedAt(string user) => _document.Users.TryGetValue(user, out var entry) ? entry.ChangedAt : -1;

    /// <summary>Adds the instruments of decisions to a meter.</summary>
    public void AddTo(Meter meter) => meter.CreateObservableCounter("orleansmq.access.warned", () => Authorizer.Warned, "{operation}",
        "Operations that rules would refuse, and that are allowed since authorization only warns.");

    /// <summary>Logs who has changed users or rules, for who audits a broker.</summary>
    public void Audit(BrokerSession session, string change) => _log.Write(EngineLogLevel.Information,
        $"{LoggedText.Of(session.Principal)} at '{LoggedText.Of(session.Host)}' ({session.Protocol}) {change}");

    /// <summary>Reads users and rules. While the store does not answer, it goes on trying in the background.</summary>
    /// <param name="follows">Whether other brokers change them, too.</param>
    public async Task OpenAsync(bool follows)
    {
        await TryRefreshAsync().ConfigureAwait(false);
        if (follows || !_isRead)
            _following = Task.Run(() => FollowAsync(follows), CancellationToken.None);
    }

    /// <summary>Handles the news of a version.</summary>
    /// <returns>Whether it is in force here; else it is read now.</returns>
    public bool Hear(long version)
    {
        if (_document.Version >= version)
            return true;
        Wake();
        return false;
    }

    /// <summary>Creates a user with a password, unless there is one of that name.</summary>
    public async Task EnsureUserAsync(string user, string password, CancellationToken cancellationToken)
    {
        await RefreshAsync(cancellationToken).ConfigureAwait(false);
        if (!Has(user))
            await AlterUserAsync(OfPassword(user, password), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The change that gives a user a password, for every mechanism.</summary>
    public static UserChange OfPassword(string user, string password, int iterations = ScramCredential.MinIterations) => new(user, [],
        [ScramCredential.Create(ScramMechanism.Sha256, password, iterations),
            ScramCredential.Create(ScramMechanism.Sha512, password, iterations)]);

    /// <summary>Returns a user's credential; null where there is none.</summary>
    /// <exception cref="IOException">The user is not known here, and the store does not answer.</exception>
    public async ValueTask<ScramCredential?> FindAsync(string user, ScramMechanism mechanism, CancellationToken cancellationToken) =>
        (await FindAsync(user, cancellationToken).ConfigureAwait(false)).Find(mechanism);

    /// <summary>Whether a password is a user's.</summary>
    /// <exception cref="IOException">The user is not known here, and the store does not answer.</exception>
    public async ValueTask<bool> VerifiesAsync(string user, string password, CancellationToken cancellationToken)
    {
        var found = (await FindAsync(user, cancellationToken).ConfigureAwait(false)).Scram;
        if (Interlocked.Increment(ref _waiting) > MaxWaiting)
        {
            Interlocked.Decrement(ref _waiting);
            throw new IOException("Too many logins are verified at once.");
        }
        try
        {
            return await VerifiesAsync(found, password, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private async ValueTask<bool> VerifiesAsync(ImmutableArray<ScramCredential> found, string password,
        CancellationToken cancellationToken)
    {
        await _verifying.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // The one that was set last is the password. It takes as long for a user that does not exist.
            var credential = found.IsEmpty ? _nobody.Value : found[^1];
            return await Task.Run(() => credential.Verifies(password), cancellationToken).ConfigureAwait(false) && !found.IsEmpty;
        }
        finally
        {
            _verifying.Release();
        }
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<UserDescription>> DescribeUsersAsync(IReadOnlyCollection<string>? names,
        CancellationToken cancellationToken = default)
    {
        var document = await RefreshAsync(cancellationToken).ConfigureAwait(false);
        var described = new List<UserDescription>();
        foreach (var user in document.Users.Keys.Where(user => names is null || names.Contains(user)).Order(StringComparer.Ordinal))
        {
            var credentials = (await UseAsync(() => FindAsync(user, cancellationToken)).ConfigureAwait(false)).Scram;
            if (!credentials.IsEmpty)
                described.Add(new UserDescription(user, [.. credentials.OrderBy(static one => one.Mechanism)
                    .Select(static one => new ScramDescription(one.Mechanism, one.Iterations))]));
        }
        return described;
    }

    /// <inheritdoc/>
    public async ValueTask AlterUserAsync(UserChange change, CancellationToken cancellationToken = default)
    {
        if (FaultOf(change) is { } fault)
            throw new BrokerException(ErrorCode.UnacceptableCredential, fault);
        for (var tries = 0; ; tries++)
        {
            if (await UseAsync(() => TryAlterUserAsync(change, cancellationToken)).ConfigureAwait(false))
                return;
            if (tries == MaxTries)
                throw Contended();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DeleteUserAsync(string user, CancellationToken cancellationToken = default)
    {
        // Read before the name goes: credentials that another change writes afterwards stay.
        var stored = await UseAsync(() => Store.ReadAsync(UserDocument.KeyOf(user), cancellationToken)).ConfigureAwait(false);
        await ChangeAsync(document => document.Users.ContainsKey(user) ? document.Without(user) : throw NotFound(user), cancellationToken)
            .ConfigureAwait(false);
        if (stored is not null)
            await RemoveLeftAsync(user, stored.ETag).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public IReadOnlyList<AclRule> ListAcls(AclFilter filter) => [.. _document.Rules.Where(filter.Selects)];

    /// <inheritdoc/>
    public async ValueTask CreateAclsAsync(IReadOnlyCollection<AclRule> rules, CancellationToken cancellationToken = default)
    {
        if (rules.Select(static rule => rule.Fault()).FirstOrDefault(static fault => fault is not null) is { } fault)
            throw new BrokerException(ErrorCode.InvalidRequest, fault);
        await ChangeAsync(document =>
        {
            var known = document.Rules.ToHashSet();
            var added = rules.Where(known.Add).ToArray();
            return added.Length == 0 ? document
                : known.Count > _options.MaxAcls ? throw new BrokerException(ErrorCode.PolicyViolation,
                    $"The cluster would have {known.Count} rules; {_options.MaxAcls} are the most. Use prefixes, or delete some.")
                : document.With(document.Rules.AddRange(added));
        }, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<IReadOnlyList<AclRule>>> DeleteAclsAsync(IReadOnlyList<AclFilter> filters,
        CancellationToken cancellationToken = default)
    {
        IReadOnlyList<IReadOnlyList<AclRule>> deleted = [];
        await ChangeAsync(document =>
        {
            deleted = [.. filters.Select(filter => (IReadOnlyList<AclRule>)[.. document.Rules.Where(filter.Selects)])];
            var gone = deleted.SelectMany(static rules => rules).ToHashSet();
            return gone.Count == 0 ? document : document.With(document.Rules.RemoveAll(gone.Contains));
        }, cancellationToken).ConfigureAwait(false);
        return deleted;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync().ConfigureAwait(false);
        if (_following is { } following)
            await following.ConfigureAwait(false);
    }

    private IStateStore Store => _findStore();

    private static string? FaultOf(UserChange change) =>
        change.User.Length is 0 or > 255 || change.User.Any(char.IsControl)
            ? "A user's name has 1 to 255 characters, and no control characters."
        : change.Set.FirstOrDefault(static one => one.Mechanism is not (ScramMechanism.Sha256 or ScramMechanism.Sha512)) is not null
            ? "The mechanism of a credential is SCRAM-SHA-256 or SCRAM-SHA-512."
        : change.Set.FirstOrDefault(static one => one.Iterations is < ScramCredential.MinIterations or > ScramCredential.MaxIterations)
            is { } wrong ? $"A credential has {ScramCredential.MinIterations} to {ScramCredential.MaxIterations} iterations, not "
                + $"{wrong.Iterations}."
        : change.Set.Any(static one => one.Salt.Length is 0 or > 1_024) ? "A credential's salt has 1 to 1,024 bytes."
        : null;

    private async ValueTask<UserDocument> FindAsync(string user, CancellationToken cancellationToken)
    {
        if (!_document.Users.TryGetValue(user, out var entry))
            return UserDocument.Empty;
        // What was read at an earlier change may be a password that was taken back.
        var isKnown = _known.TryGetValue(user, out var known) && known.Entry == entry;
        if (isKnown && _clock.GetElapsedTime(known!.ReadAt) < KnownFor)
            return known.Document;
        try
        {
            var stored = await Store.ReadAsync(UserDocument.KeyOf(user), cancellationToken).ConfigureAwait(false);
            var read = stored is null ? UserDocument.Empty : Parse(user, stored);
            if (_known.Count >= MaxKnownUsers)
                _known.Clear();
            _known[user] = new KnownUser(read, entry, _clock.GetTimestamp());
            return read;
        }
        catch (IOException failure)
        {
            // Users that have logged in before go on doing so while the store is away.
            if (isKnown)
                return known!.Document;
            _unreachable.Write(EngineLogLevel.Warning, $"The credentials of a user could not be read: {failure.Message}", failure);
            throw new IOException("The store of users does not answer.", failure);
        }
    }

    private async ValueTask<bool> TryAlterUserAsync(UserChange change, CancellationToken cancellationToken)
    {
        var document = await RefreshAsync(cancellationToken).ConfigureAwait(false);
        var existed = document.Users.ContainsKey(change.User);
        var stored = await Store.ReadAsync(UserDocument.KeyOf(change.User), cancellationToken).ConfigureAwait(false);
        // Without the name, credentials are left over from an earlier user.
        var before = existed && stored is not null ? Parse(change.User, stored) : UserDocument.Empty;
        foreach (var removed in change.Removed)
        {
            if (before.Find(removed) is null)
                throw new BrokerException(ErrorCode.ResourceNotFound, $"User '{change.User}' has no credential for {removed.Name()}.");
        }
        var after = change.Set.Aggregate(change.Removed.Aggregate(before, static (user, mechanism) => user.Without(mechanism)),
            static (user, credential) => user.With(credential));
        if (!existed && document.Users.Count >= _options.MaxUsers)
            throw new BrokerException(ErrorCode.PolicyViolation,
                $"The cluster has {document.Users.Count} users, the most there may be.");
        try
        {
            await Store.WriteAsync(UserDocument.KeyOf(change.User), JsonSerializer.SerializeToUtf8Bytes(after,
                SecurityJson.Default.UserDocument), stored?.ETag, cancellationToken).ConfigureAwait(false);
        }
        catch (StateConflictException)
        {
            return false;
        }
        var isStale = false;
        await ChangeAsync(current =>
        {
            // The user was deleted meanwhile: what was kept of it must not come back.
            isStale = existed && !current.Users.ContainsKey(change.User);
            return isStale ? current : current.With(change.User);
        }, cancellationToken).ConfigureAwait(false);
        return !isStale;
    }

    private async Task RemoveLeftAsync(string user, string etag)
    {
        try
        {
            await Store.DeleteAsync(UserDocument.KeyOf(user), etag, CancellationToken.None).ConfigureAwait(false);
        }
        catch (StateConflictException)
        {
            // A user of that name was created again.
        }
        catch (IOException failure)
        {
            _log.Write(EngineLogLevel.Warning, $"User '{user}' is deleted. Its credentials, which count for nothing without the "
                + $"name, could not be removed: {failure.Message}", failure);
        }
    }

    // Applies a change to the stored document, by compare-and-swap, and puts it in force everywhere. A change that returns its argument
    // changes nothing.
    private async ValueTask ChangeAsync(Func<SecurityDocument, SecurityDocument> change, CancellationToken cancellationToken)
    {
        for (var tries = 0; ; tries++)
        {
            if (await UseAsync(() => TryChangeAsync(change, cancellationToken)).ConfigureAwait(false) is { } changed)
            {
                if (changed.IsNew && _tell is not null)
                    await _tell(changed.Version).ConfigureAwait(false);
                return;
            }
            if (tries == MaxTries)
                throw Contended();
        }
    }

    private async ValueTask<Change?> TryChangeAsync(Func<SecurityDocument, SecurityDocument> change, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var (before, etag) = await ReadAsync(cancellationToken).ConfigureAwait(false);
            var after = change(before);
            if (ReferenceEquals(before, after))
            {
                Take(before);
                return new Change(before.Version, IsNew: false);
            }
            try
            {
                await Store.WriteAsync(SecurityDocument.Key, JsonSerializer.SerializeToUtf8Bytes(after,
                    SecurityJson.Default.SecurityDocument), etag, cancellationToken).ConfigureAwait(false);
            }
            catch (StateConflictException)
            {
                return null;
            }
            Take(after);
            return new Change(after.Version, IsNew: true);
        }
        finally
        {
            _gate.Release();
        }
    }

    private ValueTask<SecurityDocument> RefreshAsync(CancellationToken cancellationToken) => UseAsync(async () =>
    {
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var (document, _) = await ReadAsync(cancellationToken).ConfigureAwait(false);
            Take(document);
            return document;
        }
        finally
        {
            _gate.Release();
        }
    });

    private async ValueTask<(SecurityDocument Document, string? ETag)> ReadAsync(CancellationToken cancellationToken)
    {
        var stored = await Store.ReadAsync(SecurityDocument.Key, cancellationToken).ConfigureAwait(false);
        if (stored is null)
            return _document.Version == 0 ? (SecurityDocument.Empty, null) : throw new IOException($"The document '{SecurityDocument.Key}' "
                + "is gone, though this broker has read it. Restore it; or restart the brokers, which then begin without users and rules.");
        return (Parse(SecurityDocument.Key, stored, SecurityJson.Default.SecurityDocument), stored.ETag);
    }

    private static UserDocument Parse(string user, StateDocument stored) =>
        Parse(UserDocument.KeyOf(user), stored, SecurityJson.Default.UserDocument);

    private static T Parse<T>(string key, StateDocument stored, JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(stored.Value.Span, type) ?? throw new JsonException("It is null.");
        }
        catch (JsonException malformed)
        {
            throw new CorruptStateException(key, malformed);
        }
    }

    // Under the gate. A document of before, as of a database that was restored, is in force, too: it is what the next change builds on.
    private void Take(SecurityDocument document)
    {
        var before = _document;
        if (_isRead && before.Id == document.Id)
            return;
        (_document, _isRead) = (document, true);
        if (!Authorizer.IsRead || !before.Rules.AsSpan().SequenceEqual(document.Rules.AsSpan()))
            Authorizer.Image = new AclImage(document.Rules);
    }

    private async Task FollowAsync(bool follows)
    {
        var pause = FirstPause;
        try
        {
            while (follows || !_isRead)
            {
                await _wake.WaitAsync(_isRead ? Interval : pause, _stopped.Token).ConfigureAwait(false);
                await TryRefreshAsync().ConfigureAwait(false);
                await Task.Delay(LeastPause, _stopped.Token).ConfigureAwait(false);
                pause = pause * 2 < Interval ? pause * 2 : Interval;
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The broker stops.
        }
    }

    private async Task TryRefreshAsync()
    {
        try
        {
            await RefreshAsync(_stopped.Token).ConfigureAwait(false);
        }
        catch (BrokerException unreachable)
        {
            _unreachable.Write(EngineLogLevel.Warning, $"Users and rules could not be read: {unreachable.Message} "
                + (_isRead ? "Those that were read before stay in force." : "Until then only super users may do anything."), unreachable);
        }
    }

    private void Wake()
    {
        try
        {
            _wake.Release();
        }
        catch (SemaphoreFullException)
        {
            // It looks already.
        }
    }

    private static async ValueTask<T> UseAsync<T>(Func<ValueTask<T>> use)
    {
        try
        {
            return await use().ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, "The store of users and rules failed: " + failure.Message
                + " Whether a change was stored is unknown: look, and repeat it.", failure);
        }
    }

    private static BrokerException NotFound(string user) => new(ErrorCode.ResourceNotFound, $"There is no user '{user}'.");

    private static BrokerException Contended() => new(ErrorCode.CoordinatorNotAvailable,
        "Other changes of users and rules came first, again and again. Repeat the change.");

    private readonly record struct Change(long Version, bool IsNew);

    private sealed record KnownUser(UserDocument Document, UserEntry Entry, long ReadAt);
}
