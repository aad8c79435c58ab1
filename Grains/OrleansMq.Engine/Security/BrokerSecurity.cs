using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json;
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
    // A change of a user is tried again when another broker's came first.
    private const int MaxTries = 20;
    private const int MaxKnownUsers = 10_000;
    // How old credentials may be while the store answers.
    private static readonly TimeSpan KnownFor = TimeSpan.FromMinutes(1);
    // Verifications of passwords at a time: each keeps a processor busy for milliseconds.
    private static readonly int Verifiers = Math.Max(Environment.ProcessorCount / 2, 1);

    // Logins that wait for their turn: what the processors verify in a second or two.
    private readonly AddressPlaces _waiting = new(256);

    private readonly Func<IStateStore> _findStore;
    private readonly SecurityOptions _options;
    private readonly EngineLog _log;
    private readonly TimeProvider _clock;
    private readonly FollowedDocument<SecurityDocument> _followed;
    private readonly SemaphoreSlim _verifying = new(Verifiers, Verifiers);
    private readonly ConcurrentDictionary<string, KnownUser> _known = new(StringComparer.Ordinal);
    private readonly Lazy<ScramCredential> _nobody = new(static () =>
        ScramCredential.Create(ScramMechanism.Sha512, Convert.ToHexString(RandomNumberGenerator.GetBytes(16))));
    private readonly RareLine _unreachable;
    private Decoys? _decoys;

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
        (_findStore, _options, Authorizer, _log, _clock) = (store, options, authorizer, log, clock);
        _unreachable = new RareLine(log, clock);
        Mechanisms = [.. SaslExchange.Known.Where(name => options.SaslMechanisms.Contains(name)
            && (name != BearerExchange.Name || options.Tokens is not null))];
        _followed = new FollowedDocument<SecurityDocument>(new FollowedDocumentKind<SecurityDocument>(SecurityDocument.Key,
            "users and rules", SecurityDocument.Empty, SecurityJson.Default.SecurityDocument,
            "Until then only super users may do anything."), store, log, clock, tell)
        {
            Taken = Take,
        };
        // The last that can fail: without this object nothing would dispose of it.
        Tokens = options.Tokens?.Invoke();
    }

    /// <summary>The most characters of a user's name.</summary>
    public const int MaxUserNameLength = 255;

    /// <summary>Whether a user may be called so.</summary>
    public static bool IsUserName(string name) => name.Length is > 0 and <= MaxUserNameLength && !name.Any(char.IsControl);

    /// <summary>The principal of a user.</summary>
    public static string PrincipalOf(string user) => "User:" + user;

    /// <summary>Decides what sessions may do.</summary>
    public AclAuthorizer Authorizer { get; }

    /// <summary>Whether rules are enforced.</summary>
    public AuthorizationMode Authorization => _options.Authorization;

    /// <summary>Whether the rules decide, or at least warn.</summary>
    public bool IsEnabled => _options.Authorization != AuthorizationMode.Off;

    /// <summary>Whether what no rule allows is refused.</summary>
    public bool Enforces => _options.Authorization == AuthorizationMode.Enforce;

    /// <summary>Who decides: the rules where they are switched on, the host's own authorizer otherwise.</summary>
    public IAuthorizer AuthorizerOver(IAuthorizer other) => IsEnabled ? Authorizer : other;

    /// <summary>Which topics members of groups may describe; null: every member all of them, also while rules only warn.</summary>
    public TopicSights? SightsOver(IAuthorizer other) => Enforces ? new TopicSights(Authorizer, () => Authorizer.IsRead)
        : IsEnabled || other is AllowAll ? null : new TopicSights(other);

    /// <summary>Verifies tokens; null where none are accepted.</summary>
    public ITokenVerifier? Tokens { get; }

    /// <summary>The SASL mechanisms that are offered.</summary>
    public IReadOnlyList<string> Mechanisms { get; }

    /// <summary>The version of what is in force here.</summary>
    public long Version => Document.Version;

    /// <summary>Whether a user exists, as far as this broker knows.</summary>
    public bool Has(string user) => Document.Users.ContainsKey(user);

    /// <summary>The version that created a user; -1 where there is none. A later user of the same name has another.</summary>
    public long CreatedAt(string user) => Document.Users.TryGetValue(user, out var entry) ? entry.CreatedAt : -1;

    /// <summary>The version that changed a user's credentials last; -1 where there is none.</summary>
    public long ChangedAt(string user) => Document.Users.TryGetValue(user, out var entry) ? entry.ChangedAt : -1;

    /// <summary>Reads users and rules. While the store does not answer, it goes on trying in the background.</summary>
    /// <param name="follows">Whether other brokers change them, too.</param>
    public Task OpenAsync(bool follows) => _followed.OpenAsync(follows);

    /// <summary>Handles the news of a version.</summary>
    /// <returns>Whether it is in force here; else it is read now.</returns>
    public bool Hear(long version) => _followed.Hear(version);

    /// <summary>Creates the user of <see cref="SecurityOptions.AdminPassword"/>, unless there is one of that name. Without a password it
    /// does nothing.</summary>
    /// <exception cref="BrokerException">It could not be created.</exception>
    public async Task EnsureAdminAsync(CancellationToken cancellationToken)
    {
        if (_options.AdminPassword is not { } password)
            return;
        const string user = SecurityOptions.AdminUser;
        try
        {
            await RefreshAsync(cancellationToken).ConfigureAwait(false);
            if (!Has(user))
                await AlterUserAsync(OfPassword(user, password), cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            throw new BrokerException(refused.Code, $"--admin-password (in code: BrokerOptions.Security.AdminPassword): the user {user} "
                + $"could not be created: {refused.Message}");
        }
    }

    /// <summary>The change that gives a user a password, for every mechanism.</summary>
    public static UserChange OfPassword(string user, string password, int iterations = ScramCredential.MinIterations) => new(user, [],
        [ScramCredential.Create(ScramMechanism.Sha256, password, iterations),
            ScramCredential.Create(ScramMechanism.Sha512, password, iterations)]);

    /// <summary>Returns a user's credential; null where there is none.</summary>
    /// <exception cref="IOException">The user is not known here, and the store does not answer.</exception>
    public async ValueTask<ScramCredential?> FindAsync(string user, ScramMechanism mechanism, CancellationToken cancellationToken) =>
        (await FindAsync(user, cancellationToken).ConfigureAwait(false)).Find(mechanism);

    /// <summary>Returns the credential by which a user is challenged. A user that does not exist, or has none for the mechanism, gets one
    /// that looks like those of users that have, is the same each time but for its keys, and that no proof fits.</summary>
    /// <exception cref="IOException">The user, or the one that it looks like, is not known here, and the store does not
    /// answer.</exception>
    public async ValueTask<ScramCredential> ChallengeAsync(string user, ScramMechanism mechanism, CancellationToken cancellationToken)
    {
        if (await FindAsync(user, mechanism, cancellationToken).ConfigureAwait(false) is { } own)
            return own;
        var decoys = DecoysOf(Document);
        ScramCredential? other = null;
        foreach (var like in decoys.Like(user))
        {
            var found = await FindAsync(like, cancellationToken).ConfigureAwait(false);
            if (found.Find(mechanism) is { } credential)
                return decoys.Credential(user, mechanism, credential);
            other ??= found.Scram.LastOrDefault();
        }
        return decoys.Credential(user, mechanism, other);
    }

    /// <summary>Whether a password is a user's.</summary>
    /// <param name="user">The user.</param>
    /// <param name="password">The password.</param>
    /// <param name="host">The client's address; empty where it is not known.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="IOException">The user is not known here, and the store does not answer; or too many logins of the address, or of
    /// all, wait.</exception>
    public async ValueTask<bool> VerifiesAsync(string user, string password, string host, CancellationToken cancellationToken)
    {
        var found = (await FindAsync(user, cancellationToken).ConfigureAwait(false)).Scram;
        var exists = !found.IsEmpty;
        // The store and the processor are as busy for a user that does not exist.
        if (!exists && DecoysOf(Document).Like(user).FirstOrDefault() is { } like)
            found = (await FindAsync(like, cancellationToken).ConfigureAwait(false)).Scram;
        if (!_waiting.TryEnter(host, _waiting.MostOf(host)))
            throw new IOException("Too many logins are verified at once, of all clients or of this one's address.");
        try
        {
            return await VerifiesAsync(found, password, cancellationToken).ConfigureAwait(false) && exists;
        }
        finally
        {
            _waiting.Leave(host);
        }
    }

    private async ValueTask<bool> VerifiesAsync(ImmutableArray<ScramCredential> found, string password,
        CancellationToken cancellationToken)
    {
        await _verifying.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // The one that was set last is the password.
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
    public IReadOnlyList<AclRule> ListAcls(AclFilter filter) => [.. Document.Rules.Where(filter.Selects)];

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
        await _followed.DisposeAsync().ConfigureAwait(false);
        Tokens?.Dispose();
    }

    private IStateStore Store => _findStore();

    private SecurityDocument Document => _followed.Current;

    // Only who asks for users that do not exist has them computed, once for each version.
    private DecoyUsers DecoysOf(SecurityDocument document)
    {
        var decoys = Volatile.Read(ref _decoys);
        if (decoys is null || !ReferenceEquals(decoys.Document, document))
        {
            decoys = new Decoys(document, new DecoyUsers(document.Secret is { Length: > 0 } secret ? secret : _nobody.Value.StoredKey,
                document.Users.Keys));
            Volatile.Write(ref _decoys, decoys);
        }
        return decoys.Users;
    }

    private static string? FaultOf(UserChange change) =>
        !IsUserName(change.User) ? $"A user's name has 1 to {MaxUserNameLength} characters, and no control characters."
        : change.Set.FirstOrDefault(static one => one.Mechanism is not (ScramMechanism.Sha256 or ScramMechanism.Sha512)) is not null
            ? "The mechanism of a credential is SCRAM-SHA-256 or SCRAM-SHA-512."
        : change.Set.FirstOrDefault(static one => one.Iterations is < ScramCredential.MinIterations or > ScramCredential.MaxIterations)
            is { } wrong ? $"A credential has {ScramCredential.MinIterations} to {ScramCredential.MaxIterations} iterations, not "
                + $"{wrong.Iterations}."
        : change.Set.Any(static one => one.Salt.Length is 0 or > 1_024) ? "A credential's salt has 1 to 1,024 bytes."
        : null;

    private async ValueTask<UserDocument> FindAsync(string user, CancellationToken cancellationToken)
    {
        if (!Document.Users.TryGetValue(user, out var entry))
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
        }, CancellationToken.None).ConfigureAwait(false);
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

    private ValueTask ChangeAsync(Func<SecurityDocument, SecurityDocument> change, CancellationToken cancellationToken) =>
        _followed.ChangeAsync(change, cancellationToken);

    private ValueTask<SecurityDocument> RefreshAsync(CancellationToken cancellationToken) => _followed.RefreshAsync(cancellationToken);

    private static UserDocument Parse(string user, StateDocument stored) =>
        stored.Parse(UserDocument.KeyOf(user), SecurityJson.Default.UserDocument);

    private void Take(SecurityDocument? before, SecurityDocument document)
    {
        if (before is null || !before.Rules.AsSpan().SequenceEqual(document.Rules.AsSpan()))
            Authorizer.Image = new AclImage(document.Rules);
    }

    private ValueTask<T> UseAsync<T>(Func<ValueTask<T>> use) => _followed.UseAsync(use);

    private static BrokerException NotFound(string user) => new(ErrorCode.ResourceNotFound, $"There is no user '{user}'.");

    private BrokerException Contended() => _followed.Contended();

    private sealed record Decoys(SecurityDocument Document, DecoyUsers Users);

    private sealed record KnownUser(UserDocument Document, UserEntry Entry, long ReadAt);
}
