using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The body of <c>POST /api/schedules/{topic}</c>; see <see cref="NewSchedule"/>. Key, value and headers are text, or base64 as
/// the query says.</summary>
/// <param name="At">When the record is appended; with <paramref name="Cron"/>, which it may be left out with, the time before which it is
/// not.</param>
/// <param name="Id">The name by which it is cancelled; null: a new one.</param>
/// <param name="Partition">The partition; -1: by the key.</param>
/// <param name="Key">The record's key; null for none.</param>
/// <param name="Value">The record's value; null for a tombstone.</param>
/// <param name="Headers">The record's headers, in order.</param>
/// <param name="Cron">When the record is appended again and again; null: it is appended once.</param>
/// <param name="TimeZone">The time zone of <paramref name="Cron"/>; null: UTC.</param>
internal sealed record CreateScheduleBody(DateTimeOffset At = default, string? Id = null, int Partition = -1, string? Key = null,
    string? Value = null, IReadOnlyList<ScheduleHeaderBody>? Headers = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Cron = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TimeZone = null);

/// <summary>A header of a scheduled record.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">Its value; may be null.</param>
internal sealed record ScheduleHeaderBody(string Name, string? Value = null);

/// <summary>A schedule that waits; see <see cref="ScheduleDescription"/>.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Topic">The topic that it is for.</param>
/// <param name="TopicId">The topic's id.</param>
/// <param name="Partition">The partition; -1: by the key.</param>
/// <param name="At">When its record is appended; where it repeats, when next.</param>
/// <param name="CreatedAt">When it was scheduled.</param>
/// <param name="Bytes">The bytes of key, value and headers.</param>
/// <param name="Cron">When it repeats; absent: it does not.</param>
/// <param name="TimeZone">The time zone of <paramref name="Cron"/>.</param>
/// <param name="Refusal">Why the topic refuses the record, which is due and is tried again; absent: it is not known to.</param>
internal sealed record ScheduleDocument(string Id, string Topic, Guid TopicId, int Partition, DateTimeOffset At, DateTimeOffset CreatedAt,
    long Bytes, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Cron = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TimeZone = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Refusal = null)
{
    /// <summary>Converts a description to a document.</summary>
    public static ScheduleDocument Of(ScheduleDescription schedule) => new(schedule.Id, schedule.Topic, schedule.TopicId,
        schedule.Partition, schedule.At, schedule.CreatedAt, schedule.Bytes, schedule.Cron, schedule.TimeZone, schedule.Refusal);

    /// <summary>Converts the document to a description.</summary>
    public ScheduleDescription ToDescription() => new(Id, Topic, At)
    {
        TopicId = TopicId,
        Partition = Partition,
        CreatedAt = CreatedAt,
        Bytes = Bytes,
        Cron = Cron,
        TimeZone = TimeZone,
        Refusal = Refusal,
    };
}

/// <summary>The response to <c>GET /api/schedules</c>.</summary>
/// <param name="Schedules">Some schedules, in the order of their times.</param>
/// <param name="Next">The query value <c>after</c> of the next page; absent: this is the last one.</param>
internal sealed record SchedulePageBody(IReadOnlyList<ScheduleDocument> Schedules,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Next = null);

/// <summary>The response to <c>DELETE /api/schedules/{topic}/{id}</c>.</summary>
/// <param name="Cancelled">Whether the record will not be appended; false: no such schedule waits.</param>
internal sealed record CancelledSchedule(bool Cancelled);

/// <summary>The JSON of <c>/api/schedules</c>, for server and client.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(CreateScheduleBody))]
[JsonSerializable(typeof(ScheduleDocument))]
[JsonSerializable(typeof(IReadOnlyList<ScheduleDocument>))]
[JsonSerializable(typeof(SchedulePageBody))]
[JsonSerializable(typeof(CancelledSchedule))]
internal sealed partial class ScheduleJson : JsonSerializerContext;
