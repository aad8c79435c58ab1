using System.Buffers.Binary;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Dedupe;

/// <summary>
/// The message ids of a log as they were at one moment, which are encoded while appends go on: some ids at a time under the append lock,
/// their bytes outside of it. The snapshot is: version i16, CRC-32C of the rest u32, forget below, latest time, offset of the newest
/// change, its pending claims (as the value of their record; empty for none), and the ids: id, offset, time, and the offset of the change
/// that tells of it; by their records' offsets, but for those that changed meanwhile.
/// </summary>
/// <remarks>
/// State: a place among the offsets, and what was replaced behind it. Ids are taken in the order of their records' offsets up to that of
/// the capture. An id that is forgotten, claimed anew or told again before its turn is kept as it was: <see cref="LogDedupe"/> hands it
/// over before it changes it. What is added meanwhile is told by a change behind the capture. A log that is cut meanwhile has other ids;
/// the capture goes on with those of before.
/// </remarks>
internal sealed class DedupeCapture
{
    /// <summary>The format's version.</summary>
    public const short Version = 0;
    /// <summary>Where the CRC stands.</summary>
    public const int CrcOffset = 2;
    /// <summary>Where what it is of begins.</summary>
    public const int BodyOffset = 6;

    private const int AtATime = 2_000;

    private readonly LogDedupe _log;
    private readonly long _end;
    private readonly int _count;
    private readonly TransitionWriter _writer = new();
    private readonly List<CapturedId> _replaced = [];
    private readonly List<CapturedId> _taken = [];
    private long _next;
    private int _written;
    private byte[]? _bytes;

    /// <summary>Begins a capture; see <see cref="LogDedupe.Capture"/>.</summary>
    /// <param name="log">The log's ids.</param>
    /// <param name="end">The offset above those of all ids and changes.</param>
    /// <param name="count">The number of ids.</param>
    /// <param name="forgetBelow">Ids of records below this offset are forgotten.</param>
    /// <param name="newestAt">The offset of the newest change.</param>
    /// <param name="pending">Its claims, if their batch is to follow.</param>
    public DedupeCapture(LogDedupe log, long end, int count, long forgetBelow, long newestAt, DedupeClaims? pending)
    {
        (_log, _end, _count) = (log, end, count);
        _writer.Int16(Version);
        _writer.Int32(0);
        _writer.Number(forgetBelow);
        _writer.Number(log.LatestTime);
        _writer.Number(newestAt);
        _writer.Bytes(pending is null ? [] : DedupeRecord.Encode(pending));
        _writer.Number(count);
    }

    /// <summary>The encoded snapshot.</summary>
    public byte[] Bytes => _bytes ?? throw new InvalidOperationException("The snapshot of message ids is not encoded yet.");

    /// <summary>Encodes the ids.</summary>
    /// <param name="appendLock">The log's append lock. It is held for some ids at a time.</param>
    public void Encode(Lock appendLock)
    {
        while (!EncodeNext(appendLock, AtATime))
            continue;
    }

    /// <summary>Encodes the next ids.</summary>
    /// <param name="appendLock">The log's append lock.</param>
    /// <param name="most">How many places are looked at.</param>
    /// <returns>Whether the snapshot is complete.</returns>
    public bool EncodeNext(Lock appendLock, int most)
    {
        lock (appendLock)
        {
            _taken.Clear();
            _next = _log.Read(_next, _end, most, _taken);
            if (_next == _end)
                _log.End(this);
        }
        Write(_taken);
        if (_next < _end)
            return false;
        Write(_replaced);
        if (_written != _count)
            throw new InvalidOperationException($"A snapshot has {_written} message ids of {_count}.");
        var bytes = _writer.Written.ToArray();
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(CrcOffset), Crc32C.Compute(bytes.AsSpan(BodyOffset)));
        _bytes = bytes;
        return true;
    }

    /// <summary>Keeps an id that is about to change. Under the append lock.</summary>
    public void Keep(CapturedId id)
    {
        if (id.Offset >= _next && id.Offset < _end && id.At < _end)
            _replaced.Add(id);
    }

    private void Write(List<CapturedId> ids)
    {
        foreach (var id in ids)
        {
            _writer.Hash(id.Id);
            _writer.Number(id.Offset);
            _writer.Number(id.Time);
            _writer.Number(id.At);
        }
        _written += ids.Count;
    }
}

/// <summary>An id as it was.</summary>
/// <param name="Id">The id.</param>
/// <param name="Offset">Its record's offset.</param>
/// <param name="Time">The leader's time of its append.</param>
/// <param name="At">The offset of the control batch that tells of it.</param>
internal readonly record struct CapturedId(UInt128 Id, long Offset, long Time, long At);
