using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>The bytes of records that are passed on one by one: those of key, value and headers.</summary>
internal static class RecordBytes
{
    /// <summary>The bytes of a record that a queue hands out.</summary>
    public static long Of(QueueRecord record) => Of(record.Key, record.Value, record.Headers);

    /// <summary>The bytes of a schedule's record.</summary>
    public static long Of(NewSchedule schedule) => Of(schedule.Key, schedule.Value, schedule.Headers);

    private static long Of(ReadOnlyMemory<byte>? key, ReadOnlyMemory<byte>? value, IReadOnlyList<RecordHeader> headers) =>
        (key?.Length ?? 0) + (long)(value?.Length ?? 0)
            + headers.Sum(static header => header.Key.Length + (long)(header.Value?.Length ?? 0));
}
