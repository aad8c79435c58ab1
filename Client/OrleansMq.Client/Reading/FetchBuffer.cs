using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>
/// Fetches partitions ahead, within the bytes of <see cref="ReaderOptions.PrefetchBytes"/> over all of them, and steps through what came.
/// Partitions take turns by chunk. Beginning, ending and holding may be done from any thread; <see cref="TryMoveNext"/> is for one caller
/// at a time.
/// </summary>
internal sealed class FetchBuffer(IBroker broker, ReaderOptions options, ILogger logger) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<TopicPartition, FetchSession> _sessions = [];
    private readonly List<Task> _stopping = [];
    // Bounded by the sessions: each has two slots, and one error; besides, a mark that wakes the reader after each release.
    private readonly Channel<FetchedChunk> _chunks =
        Channel.CreateUnbounded<FetchedChunk>(new UnboundedChannelOptions { SingleReader = true });
    // What was fetched of partitions that are held, in order; the reader's own.
    private readonly Dictionary<FetchSession, LinkedList<SetAside>> _aside = [];
    private ChunkReader? _current;
    private ConsumeException? _failure;
    private FetchSession? _failed;
    private int _partitions;
    private bool _disposed;

    /// <summary>Held while a record is stepped to and read, by those who may be disposed meanwhile.</summary>
    public Lock Stepping { get; } = new();

    /// <summary>The partitions that are fetched.</summary>
    public IReadOnlyCollection<TopicPartition> Partitions
    {
        get
        {
            lock (_gate)
                return [.. _sessions.Keys];
        }
    }

    /// <summary>The session of a partition; null where it is not fetched.</summary>
    public FetchSession? Find(TopicPartition partition)
    {
        lock (_gate)
            return _sessions.GetValueOrDefault(partition);
    }

    /// <summary>Fetches a partition from a start on, instead of what was fetched of it before.</summary>
    /// <param name="partition">Which.</param>
    /// <param name="start">Where from.</param>
    /// <param name="owner">Whatever the caller wants to find at the session again.</param>
    /// <param name="isHeld">Whether its records wait for <see cref="FetchSession.IsHeld"/> to be cleared.</param>
    /// <param name="failure">Where it cannot be fetched at all: the reader's caller hears of it.</param>
    /// <param name="topicId">What its records say of their topic.</param>
    public FetchSession Begin(TopicPartition partition, ReadFrom start, object? owner = null, bool isHeld = false,
        ConsumeException? failure = null,
        Guid topicId = default)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            EndLocked(partition);
            var session = new FetchSession(broker, partition, start, options, FetchSize, _chunks.Writer, logger) { Owner = owner,
                IsHeld = isHeld, TopicId = topicId };
            _sessions[partition] = session;
            Volatile.Write(ref _partitions, _sessions.Count);
            if (failure is null)
                session.Run();
            else
                session.Fail(failure);
            return session;
        }
    }

    /// <summary>Stops fetching a partition; what was fetched is dropped.</summary>
    public void End(TopicPartition partition)
    {
        lock (_gate)
            EndLocked(partition);
    }

    /// <summary>Stops that session, if it is still its partition's.</summary>
    public void End(FetchSession session)
    {
        lock (_gate)
        {
            if (_sessions.GetValueOrDefault(session.Partition) == session)
                EndLocked(session.Partition);
        }
    }

    /// <summary>Wakes whoever waits: something that it looks at has changed.</summary>
    public void Wake() => _chunks.Writer.TryWrite(default);

    /// <summary>Waits until <see cref="TryMoveNext"/> is worth another try.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was disposed.</exception>
    public async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        if (!await _chunks.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            throw new ObjectDisposedException(nameof(FetchBuffer));
    }

    /// <summary>Steps to the next record, of whichever partition; stays on it until it is accepted. False: nothing has come yet.</summary>
    /// <exception cref="ConsumeException">A partition cannot be read on. Thrown until it is begun anew, held or ended: going on with others
    /// would hide it.</exception>
    public bool TryMoveNext([NotNullWhen(true)] out ChunkReader? chunk)
    {
        while (true)
        {
            ThrowIfFailed();
            if (_current is { IsStopped: false } current)
            {
                if (current.Session.IsHeld)
                {
                    KeepFirst(new SetAside(current, null), current.Session);
                    _current = null;
                    continue;
                }
                if (MoveNext(current))
                {
                    chunk = current;
                    return true;
                }
                if (_failure is not null)
                    continue;
            }
            _current?.Dispose();
            _current = null;
            if (!TryTakeAside() && !TryTakeFetched())
            {
                chunk = null;
                return false;
            }
        }
    }

    /// <summary>Stops fetching and gives back all memory. Not while <see cref="TryMoveNext"/> runs or its record is in use, unless that is
    /// done under <see cref="Stepping"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] loops;
        lock (_gate)
        {
            if (_disposed)
                return;
            _disposed = true;
            foreach (var partition in _sessions.Keys.ToArray())
                EndLocked(partition);
            loops = [.. _stopping];
        }
        await Task.WhenAll(loops).ConfigureAwait(false);
        _chunks.Writer.TryComplete();
        lock (Stepping)
        {
            _current?.Dispose();
            _current = null;
            foreach (var kept in _aside.Values.SelectMany(kept => kept))
                kept.Chunk?.Dispose();
            _aside.Clear();
            while (_chunks.Reader.TryRead(out var chunk))
                chunk.Result?.Dispose();
        }
    }

    private void EndLocked(TopicPartition partition)
    {
        if (!_sessions.Remove(partition, out var session))
            return;
        session.Stop();
        _stopping.RemoveAll(static loop => loop.IsCompleted);
        _stopping.Add(session.Loop);
        Volatile.Write(ref _partitions, _sessions.Count);
    }

    /// <summary>Bytes to fetch at once: each partition's share of what may be held ahead, in as many parts as it may hold.</summary>
    public int FetchSize() =>
        Math.Min(options.MaxFetchBytes,
            Math.Max(1, options.PrefetchBytes / (FetchSession.ChunksAhead * Math.Max(1, Volatile.Read(ref _partitions)))));

    private bool TryTakeFetched()
    {
        while (_chunks.Reader.TryRead(out var fetched))
        {
            if (fetched.Session is not { } session)
            {
                // Released since it was looked at: the mark is the only word of that.
                if (TryTakeAside())
                    return true;
                continue;
            }
            var next = new SetAside(fetched.Result is { } result ? new ChunkReader(session, result, options) : null, fetched.Error);
            if (session.IsHeld || _aside.ContainsKey(session))
            {
                Aside(session).AddLast(next);
                if (TryTakeAside())
                    return true;
                continue;
            }
            Enter(next, session);
            return true;
        }
        return false;
    }

    /// <summary>Sets aside what was begun: it comes before what was fetched after it.</summary>
    private void KeepFirst(SetAside begun, FetchSession session) => Aside(session).AddFirst(begun);

    private LinkedList<SetAside> Aside(FetchSession session)
    {
        if (!_aside.TryGetValue(session, out var kept))
            _aside[session] = kept = new LinkedList<SetAside>();
        return kept;
    }

    /// <summary>Takes up what was set aside of a partition that is no longer held.</summary>
    private bool TryTakeAside()
    {
        foreach (var (session, kept) in _aside)
        {
            if (session.IsStopped)
            {
                foreach (var dropped in kept)
                    dropped.Chunk?.Dispose();
                _aside.Remove(session);
                continue;
            }
            if (session.IsHeld)
                continue;
            var next = kept.First!.Value;
            kept.RemoveFirst();
            Enter(next, session);
            if (kept.Count == 0)
                _aside.Remove(session);
            return true;
        }
        return false;
    }

    private void Enter(SetAside next, FetchSession session)
    {
        if (next.Error is { } error)
            (_failure, _failed) = (error, session);
        else
            _current = next.Chunk;
    }

    private void ThrowIfFailed()
    {
        if (_failure is null)
            return;
        if (!_failed!.IsStopped && !_failed.IsHeld)
            throw _failure;
        if (!_failed.IsStopped)
            KeepFirst(new SetAside(null, _failure), _failed);
        (_failure, _failed) = (null, null);
    }

    private bool MoveNext(ChunkReader chunk)
    {
        try
        {
            return chunk.MoveNext();
        }
        catch (Exception e) when (e is RecordBatchException or CodecUnavailableException)
        {
            var code = e is RecordBatchException ? ErrorCode.CorruptMessage : ErrorCode.UnsupportedCompressionType;
            var session = chunk.Session;
            _failure = new ConsumeException(code, session.Partition, session.Position,
                $"{session.Partition} cannot be read at offset {session.Position}: {e.Message}", e);
            _failed = session;
            return false;
        }
    }

    /// <summary>A chunk, or what stands in place of one.</summary>
    private readonly record struct SetAside(ChunkReader? Chunk, ConsumeException? Error);
}
