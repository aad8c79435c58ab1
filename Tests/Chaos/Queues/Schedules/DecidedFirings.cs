using System.Buffers.Binary;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues.Schedules;

/// <summary>Reads the decisions of the schedules' log from a replica's files, by the format alone.</summary>
internal static class DecidedFirings
{
    private const byte Intent = 2;
    private const int HeaderBytes = 1 + sizeof(long) + sizeof(int);
    private const int TimerBytes = 40;

    /// <summary>Reports each record that was decided to be appended to a topic.</summary>
    public static void Read(string directory, Guid topicId, ScheduleHistory history)
    {
        foreach (var batch in ReplicaFiles.Read(directory))
        {
            foreach (var record in TopicReader.RecordsOf(batch.Header, batch.Bytes))
            {
                if (record.Key is { } key && record.Value is { } value && key.Span[0] == Intent
                    && new Guid(key.Span.Slice(1, 16), bigEndian: true) == topicId)
                    Read(value.Span, topicId, history);
            }
        }
    }

    private static void Read(ReadOnlySpan<byte> value, Guid topicId, ScheduleHistory history)
    {
        for (var left = BinaryPrimitives.ReadInt32BigEndian(value[(1 + sizeof(long))..]); left > 0; left--)
        {
            var timer = value.Slice(HeaderBytes + ((left - 1) * TimerBytes), TimerBytes);
            history.Decide(topicId, new Guid(timer.Slice(sizeof(long), 16), bigEndian: true), BinaryPrimitives.ReadInt64BigEndian(timer));
        }
    }
}
