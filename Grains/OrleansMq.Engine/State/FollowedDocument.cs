using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Diagnostics;

namespace OrleansMq.State;

/// <summary>A document that <see cref="FollowedDocument{T}"/> holds. It is immutable.</summary>
internal interface IFollowedDocument
{
    /// <summary>Rises with each change; 0 before the first.</summary>
    long Version { get; }

    /// <summary>Another with each change. A document of before, as of a database that was restored, may go on with the same versions; it
    /// has other ids.</summary>
    Guid Id { get; }
}

/// <summary>What a followed document is.</summary>
/// <param name="Key">Its key in the state store.</param>
/// <param name="What">What it holds, in the plural, for messages: <c>users and rules</c>.</param>
/// <param name="Empty">The document before the first change.</param>
/// <param name="Json">Its JSON.</param>
/// <param name="BeforeRead">What holds until it is read, as a sentence for the log.</param>
internal sealed record FollowedDocumentKind<T>(string Key, string What, T Empty, JsonTypeInfo<T> Json, string BeforeRead)
    where T : class, IFollowedDocument;

/// <summary>
/// A document of the state store that every broker of a cluster holds in memory, and that any of them changes by compare-and-swap; no
/// broker owns it. The others are told after a change, and look from time to time, in case they were not. While the store is away, what
/// was read before stays in force. Thread safe.
/// </summary>
internal sealed class FollowedDocument<T> : IAsyncDisposable
    where T : class, IFollowedDocument
{
    // A change is tried again when another broker's came first.
    private const int MaxTries = 20;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    // Between two looks at the store, however often there is news.
    private static readonly TimeSpan LeastPause = TimeSpan.FromMilliseconds(100);

    private readonly FollowedDocumentKind<T> _kind;
    private readonly Func<IStateStore> _findStore;
    private readonly Func<long, Task>? _tell;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly CancellationTokenSource _stopped = new();
    private readonly RareLine _unreachable;
    private Task? _following;
    private volatile T _current;
    // The last version for which Taken has returned.
    private long _inForce;
    private volatile bool _isRead;

    /// <param name="kind">What the document is.</param>
    /// <param name="store">Returns what holds it. It is asked from <see cref="OpenAsync"/> on.</param>
    /// <param name="log">Receives what goes wrong.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="tell">Tells the other brokers that there is a version, and returns when they have it, or after a limit; null where
    /// there are none.</param>
    public FollowedDocument(FollowedDocumentKind<T> kind, Func<IStateStore> store, EngineLog log, TimeProvider clock,
        Func<long, Task>? tell)
    {
        (_kind, _findStore, _tell, _current) = (kind, store, tell, kind.Empty);
        _unreachable = new RareLine(log, clock);
    }

    /// <summary>The document that is in force here.</summary>
    public T Current => _current;

    /// <summary>Called with each document that comes into force, and the one before; null for the first.</summary>
    public Action<T?, T>? Taken { get; init; }

    /// <summary>Reads the document. While the store does not answer, it goes on trying in the background.</summary>
    /// <param name="follows">Whether other brokers change it, too.</param>
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
        if (Volatile.Read(ref _inForce) >= version)
            return true;
        Wake();
        return false;
    }

    /// <summary>Applies a change to the stored document, by compare-and-swap, and puts it in force everywhere. A change that returns its
    /// argument changes nothing.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>, or what the change throws.</exception>
    public async ValueTask ChangeAsync(Func<T, T> change, CancellationToken cancellationToken)
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

    /// <summary>Reads the stored document, and puts it in force here.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>.</exception>
    public ValueTask<T> RefreshAsync(CancellationToken cancellationToken) => UseAsync(async () =>
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

    /// <summary>Uses the store.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: it failed.</exception>
    public async ValueTask<TResult> UseAsync<TResult>(Func<ValueTask<TResult>> use)
    {
        try
        {
            return await use().ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"The store of {_kind.What} failed: {failure.Message} Whether a "
                + "change was stored is unknown: look, and repeat it.", failure);
        }
    }

    /// <summary>The refusal of a change that others overtook too often.</summary>
    public BrokerException Contended() => new(ErrorCode.CoordinatorNotAvailable,
        $"Other changes of {_kind.What} came first, again and again. Repeat the change.");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync().ConfigureAwait(false);
        if (_following is { } following)
            await following.ConfigureAwait(false);
    }

    private async ValueTask<Change?> TryChangeAsync(Func<T, T> change, CancellationToken cancellationToken)
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
                await _findStore().WriteAsync(_kind.Key, JsonSerializer.SerializeToUtf8Bytes(after, _kind.Json), etag, cancellationToken)
                    .ConfigureAwait(false);
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

    private async ValueTask<(T Document, string? ETag)> ReadAsync(CancellationToken cancellationToken)
    {
        var stored = await _findStore().ReadAsync(_kind.Key, cancellationToken).ConfigureAwait(false);
        if (stored is null)
            return _current.Version == 0 ? (_kind.Empty, null) : throw new IOException($"The document '{_kind.Key}' is gone, though this "
                + $"broker has read it. Restore it; or restart the brokers, which then begin without {_kind.What}.");
        return (stored.Parse(_kind.Key, _kind.Json), stored.ETag);
    }

    // Under the gate. A document of before, as of a database that was restored, is in force, too: it is what the next change builds on.
    private void Take(T document)
    {
        var before = _current;
        if (_isRead && before.Id == document.Id)
            return;
        var isFirst = !_isRead;
        (_current, _isRead) = (document, true);
        Taken?.Invoke(isFirst ? null : before, document);
        Volatile.Write(ref _inForce, document.Version);
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
            _unreachable.Write(EngineLogLevel.Warning, $"The {_kind.What} could not be read: {unreachable.Message} "
                + (_isRead ? "Those that were read before stay in force." : _kind.BeforeRead), unreachable);
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

    private readonly record struct Change(long Version, bool IsNew);
}
