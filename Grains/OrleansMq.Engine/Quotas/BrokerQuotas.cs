using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Quotas;

/// <summary>The other brokers of the cluster, which share its limits.</summary>
internal interface IQuotaPeers
{
    /// <summary>This broker.</summary>
    int Self { get; }

    /// <summary>The others that are alive.</summary>
    IReadOnlyCollection<int> Others { get; }

    /// <summary>Tells another broker what this one uses: it is for its <see cref="BrokerQuotas.Hear(ReadOnlyMemory{byte})"/>. Does not
    /// throw.</summary>
    Task SendAsync(int broker, ReadOnlyMemory<byte> message);
}

/// <summary>
/// The quotas of a cluster, and what the clients of one broker have used of them. The quotas are a document that every broker follows. A
/// limit of bytes or mutations is the cluster's: brokers tell each other once a second what they use, and each takes its share. Thread
/// safe.
/// </summary>
internal sealed class BrokerQuotas : IQuotas, IAsyncDisposable
{
    /// <summary>The longest that a client is held back at once: no more is owed.</summary>
    public static readonly TimeSpan MostThrottle = TimeSpan.FromSeconds(TokenBucket.MostDebt);

    /// <summary>The longest that a client is held back for the time of its requests, as in Kafka.</summary>
    public static readonly TimeSpan MostRequestThrottle = TimeSpan.FromSeconds(1);

    /// <summary>How long a connection waits at most before it is served; one that would wait for longer is closed. Clients give up after 10
    /// seconds or more.</summary>
    public static readonly TimeSpan MostConnectWait = TimeSpan.FromSeconds(10);

    /// <summary>The most entities with quotas.</summary>
    public const int MaxEntities = 10_000;

    // Clients choose their ids: long ones share one, which would else take memory here and in every report.
    private const string LongClientId = "(long)";
    // Those beyond share one account.
    private const int MaxAccounts = 50_000;
    private const int MaxThrottled = 1_000;
    private const int MaxMeasured = 1_000;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    // Of a broker that was silent for longer, nothing is known.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(3.5);

    private readonly FollowedDocument<QuotaDocument> _followed;
    private readonly TimeProvider _clock;
    private readonly IQuotaPeers? _peers;
    private readonly RareLine _faults;
    private readonly Lock _lock = new();
    private readonly ConcurrentDictionary<(QuotaKey, QuotaScope), QuotaAccount> _accounts = new();
    private readonly ConcurrentDictionary<(string User, QuotaKey Key), double> _throttled = new();
    private readonly ConcurrentDictionary<int, (long At, QuotaReport Report)> _reports = new();
    private readonly ConcurrentDictionary<int, Task> _sending = new();
    private readonly CancellationTokenSource _released = new();
    private volatile QuotaImage? _image;
    private ITimer? _timer;
    private bool _isDisposed;

    /// <param name="store">Returns what holds the document. It is asked from <see cref="OpenAsync"/> on.</param>
    /// <param name="log">Receives what goes wrong.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="tell">Tells the other brokers that there is a version; null where there are none.</param>
    /// <param name="peers">The other brokers; null where there are none.</param>
    public BrokerQuotas(Func<IStateStore> store, EngineLog log, TimeProvider clock, Func<long, Task>? tell = null,
        IQuotaPeers? peers = null)
    {
        (_clock, _peers) = (clock, peers);
        _faults = new RareLine(log, clock);
        _followed = new FollowedDocument<QuotaDocument>(new FollowedDocumentKind<QuotaDocument>(QuotaDocument.Key, "quotas",
            QuotaDocument.Empty, QuotaJson.Default.QuotaDocument, "Until then no client has one."), store, log, clock, tell)
        {
            Taken = Take,
        };
    }

    /// <summary>The quotas; null where there are none.</summary>
    public QuotaImage? Image => _image;

    /// <summary>The version of what is in force here.</summary>
    public long Version => _followed.Current.Version;

    /// <summary>Reads the quotas. While the store does not answer, it goes on trying in the background.</summary>
    /// <param name="follows">Whether other brokers change them, too.</param>
    public Task OpenAsync(bool follows) => _followed.OpenAsync(follows);

    /// <summary>Handles the news of a version.</summary>
    /// <returns>Whether it is in force here; else it is read now.</returns>
    public bool Hear(long version) => _followed.Hear(version);

    /// <summary>Handles what another broker uses.</summary>
    /// <returns>Whether it could be read.</returns>
    public bool Hear(ReadOnlyMemory<byte> message)
    {
        if (QuotaReport.Read(message) is not { } report)
            return false;
        _reports[report.Broker] = (_clock.GetTimestamp(), report);
        return true;
    }

    /// <inheritdoc/>
    public IReadOnlyList<EntityQuotas> List(QuotaFilter filter) => filter.Fault() is { } fault
        ? throw new BrokerException(ErrorCode.InvalidRequest, fault)
        : [.. _followed.Current.Entities().Where(one => one.Limits.Count > 0 && filter.Selects(one.Entity))];

    /// <inheritdoc/>
    public IReadOnlyList<QuotaUsage> ListUsage() => [.. _accounts.Values.Select(static one => one.Describe())
        .OrderByDescending(static one => one.Used / one.Limit).Take(MaxMeasured)];

    /// <inheritdoc/>
    public ValueTask AlterAsync(IReadOnlyCollection<QuotaChange> changes, CancellationToken cancellationToken = default)
    {
        if (changes.Select(static change => change.Fault()).FirstOrDefault(static fault => fault is not null) is { } fault)
            throw new BrokerException(ErrorCode.InvalidRequest, fault);
        return _followed.ChangeAsync(document =>
        {
            var quotas = document.Entities().ToDictionary(static one => one.Entity);
            var isChanged = false;
            foreach (var change in changes)
                isChanged |= Apply(quotas, change);
            return !isChanged ? document
                : quotas.Count > MaxEntities ? throw new BrokerException(ErrorCode.PolicyViolation,
                    $"The cluster would have quotas of {quotas.Count} entities; {MaxEntities} are the most. Use defaults, or remove some.")
                : document.With(quotas.Values.OrderBy(static one => one.Entity.User, StringComparer.Ordinal)
                    .ThenBy(static one => one.Entity.ClientId, StringComparer.Ordinal)
                    .ThenBy(static one => one.Entity.Ip, StringComparer.Ordinal));
        }, cancellationToken);
    }

    /// <summary>Returns how long a client is held back for the time of its requests.</summary>
    /// <param name="wait">How long until it is within its rate.</param>
    public static TimeSpan RequestThrottle(TimeSpan wait) => wait < MostRequestThrottle ? wait : MostRequestThrottle;

    /// <summary>The limits of a client.</summary>
    /// <param name="principal">Who it is, such as <c>User:alice</c>.</param>
    /// <param name="clientId">The name that it gives itself; empty for none. Those of more than
    /// <see cref="QuotaEntity.MaxClientIdLength"/> characters count as one.</param>
    public ClientQuotas Of(string principal, string clientId) =>
        new(this, principal.StartsWith("User:", StringComparison.Ordinal) ? principal["User:".Length..] : principal,
            clientId.Length <= QuotaEntity.MaxClientIdLength ? clientId : LongClientId);

    /// <summary>Counts a connection from an address, unless it would have to wait for longer than a limit.</summary>
    /// <param name="ip">The address.</param>
    /// <param name="most">The longest wait.</param>
    /// <returns>How long the connection waits before it is served; null: it is not to be served.</returns>
    public TimeSpan? Connect(string ip, TimeSpan most)
    {
        if (_image?.FindAddress(ip) is null)
            return TimeSpan.Zero;
        QuotaAccount account;
        lock (_lock)
        {
            if (_image?.FindAddress(ip) is not { } match)
                return TimeSpan.Zero;
            account = AccountOf(QuotaKey.ConnectionCreationRate, match);
        }
        if (account.Wait() > most)
            return null;
        return account.Charge(1);
    }

    /// <summary>Finds what a client has used of its limits; null where there are no quotas.</summary>
    internal ClientQuotas.Found? Find(string user, string clientId)
    {
        lock (_lock)
        {
            if (_image is not { } image)
                return null;
            var found = new QuotaAccount?[QuotaKeys.Count];
            foreach (var key in QuotaKeys.All)
            {
                if (!key.IsOfAddress() && image.Find(key, user, clientId) is { } match)
                    found[(int)key] = AccountOf(key, match);
            }
            return new ClientQuotas.Found(image, found);
        }
    }

    /// <summary>Notes that clients of a user are held back.</summary>
    internal void Throttled(string user, QuotaKey key, TimeSpan time)
    {
        var known = _throttled.Count < MaxThrottled || _throttled.ContainsKey((user, key)) ? user : "(others)";
        _throttled.AddOrUpdate((known, key), static (_, seconds) => seconds, static (_, before, seconds) => before + seconds,
            time.TotalSeconds);
    }

    /// <summary>Ends all waits of <see cref="HoldAsync"/>, also those to come: the broker stops.</summary>
    public void Release() => _released.Cancel();

    /// <summary>Waits, until <see cref="Release"/> at most.</summary>
    /// <returns>False: the broker stops.</returns>
    internal async ValueTask<bool> HoldAsync(TimeSpan time, CancellationToken cancellationToken)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _released.Token);
        await Task.Delay(time, _clock, ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !_released.IsCancellationRequested;
    }

    /// <summary>The time in seconds for which clients of a user were held back by a quota.</summary>
    public double SecondsThrottled(string user, QuotaKey key) => _throttled.GetValueOrDefault((user, key));

    /// <summary>Adds the instruments that report the use.</summary>
    public void AddTo(Meter meter)
    {
        ArgumentNullException.ThrowIfNull(meter);
        meter.CreateObservableCounter("orleansmq.quota.throttle", Held, "s", "Time for which clients were held back by a quota, by user.");
        meter.CreateObservableGauge("orleansmq.quota.used", () => Measure(static one => one.Used), null,
            "What was used of a quota on this broker in the last ten seconds, in the quota's unit a second.");
        meter.CreateObservableGauge("orleansmq.quota.share", () => Measure(static one => one.Share), null,
            "This broker's share of a quota, in the quota's unit a second.");
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _isDisposed = true;
            _timer?.Dispose();
            _timer = null;
        }
        return _followed.DisposeAsync();
    }

    /// <summary>Looks at all accounts, and exchanges their use with the other brokers. Called once a second while there are
    /// quotas.</summary>
    internal void LookAgain()
    {
        var others = _peers?.Others ?? [];
        var heard = others.Select(other => _reports.TryGetValue(other, out var one) && _clock.GetElapsedTime(one.At) < Silence
            ? one.Report : null).ToArray();
        var uses = new List<QuotaReportLine>();
        foreach (var (id, account) in _accounts)
        {
            var use = account.LookAgain(out var isIdle);
            if (isIdle)
            {
                account.Retire();
                _accounts.TryRemove(new KeyValuePair<(QuotaKey, QuotaScope), QuotaAccount>(id, account));
                continue;
            }
            if (!account.Key.IsShared() || _peers is null)
                continue;
            uses.Add(new QuotaReportLine(account.Key, account.Scope, use));
            account.SetShare(QuotaShares.Of(account.Limit,
                [.. heard.Select(report => report?.UseOf(account.Key, account.Scope))]));
        }
        if (_peers is null || others.Count == 0)
            return;
        var message = QuotaReport.Write(_peers.Self, uses);
        foreach (var other in others)
        {
            // A broker that does not answer is told again when it has.
            if (!_sending.TryGetValue(other, out var sending) || sending.IsCompleted)
                _sending[other] = _peers.SendAsync(other, message);
        }
    }

    // Of a timer, where a fault would end the process.
    private void Tick()
    {
        try
        {
            LookAgain();
        }
        catch (Exception fault)
        {
            _faults.Write(EngineLogLevel.Error, $"The quotas could not be looked at, and are not shared: {fault.Message}", fault);
        }
    }

    private static bool Apply(Dictionary<QuotaEntity, EntityQuotas> quotas, QuotaChange change)
    {
        var before = quotas.GetValueOrDefault(change.Entity)?.Limits ?? ImmutableSortedDictionary<QuotaKey, double>.Empty;
        var after = change.Limits.Aggregate(before, static (limits, one) =>
            one.Value is { } value ? limits.SetItem(one.Key, value) : limits.Remove(one.Key));
        if (ReferenceEquals(before, after))
            return false;
        if (after.Count == 0)
            quotas.Remove(change.Entity);
        else
            quotas[change.Entity] = new EntityQuotas(change.Entity, after);
        return true;
    }

    private void Take(QuotaDocument? before, QuotaDocument document)
    {
        EntityQuotas[] quotas = [.. document.Entities().Where(static one => one.Limits.Count > 0)];
        lock (_lock)
        {
            _image = quotas.Length == 0 ? null : new QuotaImage(quotas);
            if (_image is null)
            {
                foreach (var account in _accounts.Values)
                    account.Retire();
                _accounts.Clear();
                _timer?.Dispose();
                _timer = null;
            }
            else if (!_isDisposed)
            {
                _timer ??= _clock.CreateTimer(static quotas => ((BrokerQuotas)quotas!).Tick(), this, Interval, Interval);
            }
        }
    }

    // Under the lock.
    private QuotaAccount AccountOf(QuotaKey key, in QuotaMatch match)
    {
        var scope = match.Scope;
        if (!_accounts.ContainsKey((key, scope)) && _accounts.Count >= MaxAccounts)
            scope = new QuotaScope(scope.User, scope.ClientId is null ? null : "", scope.Ip is null ? null : "");
        if (_accounts.TryGetValue((key, scope), out var known) && !known.IsRetired)
        {
            known.SetLimit(match.Limit);
            return known;
        }
        var brokers = key.IsShared() && _peers is not null ? 1 + _peers.Others.Count : 1;
        return _accounts[(key, scope)] = new QuotaAccount(key, scope, match.Limit, match.Limit / brokers, _clock);
    }

    private IEnumerable<Measurement<double>> Held() => _throttled.Select(static one => new Measurement<double>(one.Value,
        new KeyValuePair<string, object?>("user", one.Key.User), new KeyValuePair<string, object?>("quota", one.Key.Key.Name())));

    // Those that use the most of what they may: clients choose the ids, so the series are bounded.
    private IEnumerable<Measurement<double>> Measure(Func<QuotaUsage, double> value) => ListUsage().Select(one =>
        new Measurement<double>(value(one), new KeyValuePair<string, object?>("user", one.Scope.User ?? ""),
            new KeyValuePair<string, object?>("client_id", one.Scope.ClientId ?? ""),
            new KeyValuePair<string, object?>("ip", one.Scope.Ip ?? ""), new KeyValuePair<string, object?>("quota", one.Key.Name())));
}
