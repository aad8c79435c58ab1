using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>
/// Prefetches partitions within a total of <see cref="ReaderOptions.PrefetchBytes"/> bytes, and iterates over the records. Partitions take
/// turns by chunk. Begin, End and holding may be called from any thread; only one caller at a time may use <see cref="TryMoveNext"/>.
/// </summary>
internal sealed class FetchBuffer(IBroker broker, ReaderOptions options, ILogger logger) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<TopicPartition, FetchSession> _sessions = [];
    private readonly List<Task> _stopping = [];
    // Bounded by the sessions: each has two slots and one error. A mark that wakes the reader after each release comes on top.
    private readonly Channel<FetchedChunk> _chunks =
        Channel.CreateUnbounded<FetchedChunk>(new UnboundedChannelOptions { SingleReader = true });
    // Fetched chunks of partitions on hold, in order. Used by the reader only.
    private readonly Dictionary<FetchSession, LinkedList<SetAside>> _aside = [];
    private ChunkReader? _current;
    private ConsumeException? _failure;
    private FetchSession? _failed;
    private int _partitions;
    private bool _disposed;

    /// <summary>Locked while a record is moved to and read, by readers that may be disposed at the same time.</summary>
    public Lock Stepping { get; } = new();

    /// <summary>The partitions being fetched.</summary>
    public IReadOnlyCollection<TopicPartition> Partitions
    {
        get
        {
            lock (_gate)
                return [.. _sessions.Keys];
        }
    }

    /// <summary>Returns the session of a partition; null if it is not fetched.</summary>
    public FetchSession? Find(TopicPartition partition)
    {
        lock (_gate)
            return _sessions.GetValueOrDefault(partition);
    }

    /// <summary>Starts fetching a partition. Replaces its current session and drops what that has fetched.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="start">The position to start from.</param>
    /// <param name="owner">An object for the caller to find the session by.</param>
    /// <param name="isHeld">Whether the session starts on hold, until <see cref="FetchSession.IsHeld"/> is cleared.</param>
    /// <param name="failure">Why the partition cannot be fetched, to be thrown by the reader; null if it can.</param>
    /// <param name="topicId">The id of the topic.</param>
    public FetchSession Begin(TopicPartition partition, ReadFrom start, object? owner = null, bool isHeld = false,
        ConsumeException? failure = null, Guid topicId = default)
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

    /// <summary>Stops fetching a partition and drops what was fetched.</summary>
    public void End(TopicPartition partition)
    {
        lock (_gate)
            EndLocked(partition);
    }

    /// <summary>Stops a session, if it is still its partition's current one.</summary>
    public void End(FetchSession session)
    {
        lock (_gate)
        {
            if (_sessions.GetValueOrDefault(session.Partition) == session)
                EndLocked(session.Partition);
        }
    }

    /// <summary>Wakes the waiting reader, since its state has changed.</summary>
    public void Wake() => _chunks.Writer.TryWrite(default);

    /// <summary>Waits until <see cref="TryMoveNext"/> may succeed.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was disposed.</exception>
    public async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        if (!await _chunks.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            throw new ObjectDisposedException(nameof(FetchBuffer));
    }

    /// <summary>Moves to the next record of any partition; stays on it until it is accepted. Returns false if none has arrived
    /// yet.</summary>
    /// <exception cref="ConsumeException">A partition cannot be read any further. Thrown until it is begun anew, held or ended, since
    /// continuing with others would hide the failure.</exception>
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

    /// <summary>Stops fetching and releases all memory. Must not run at the same time as <see cref="TryMoveNext"/>, or while its record is
    /// in use, unless both are done under <see cref="Stepping"/>.</summary>
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

    /// <summary>Bytes per fetch: each partition's share of the prefetch limit, divided by the number of chunks it may hold.</summary>
    public int FetchSize() =>
        Math.Min(options.MaxFetchBytes,
            Math.Max(1, options.PrefetchBytes / (FetchSession.ChunksAhead * Math.Max(1, Volatile.Read(ref _partitions)))));

    private bool TryTakeFetched()
    {
        while (_chunks.Reader.TryRead(out var fetched))
        {
            if (fetched.Session is not { } session)
            {
                // The hold was released after the check: the mark is the only signal of that.
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

    /// <summary>Sets aside a partly read chunk, which precedes what was fetched after it.</summary>
    private void KeepFirst(SetAside begun, FetchSession session) => Aside(session).AddFirst(begun);

    private LinkedList<SetAside> Aside(FetchSession session)
    {
        if (!_aside.TryGetValue(session, out var kept))
            _aside[session] = kept = new LinkedList<SetAside>();
        return kept;
    }

    /// <summary>Continues with a chunk that was set aside, of a partition that is no longer on hold.</summary>
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
                $"{session.Partition} cannot be read at offset {session.Position}: {e.Message}{AdviceOn(e, session.Position)}", e);
            _failed = session;
            return false;
        }
    }

    // A header that is not valid arrived so by mistake, or is damaged on the broker's disk: nothing is known of what follows.
    private static string AdviceOn(Exception fault, long position) =>
        fault is RecordBatchException { NextOffset: var next } && next > position
            ? $" To pass this batch, seek to offset {next}." : "";

    /// <summary>A chunk, or the error in its place.</summary>
    private readonly record struct SetAside(ChunkReader? Chunk, ConsumeException? Error);
}
