using System.Text.RegularExpressions;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>What a member says of records: one type for a range, or one for each offset.</summary>
internal sealed record WireAck(int Partition, params (long First, long Last, sbyte[] Types)[] Batches);

/// <summary>A member of a share group on a connection of its own.</summary>
internal sealed partial class ShareWire(WireClient client, Guid topicId, string member) : IDisposable
{
    private const short Heartbeat = 76, Fetch = 78, Acknowledge = 79;

    private int _correlation;

    public const sbyte Gap = 0, Accept = 1, Release = 2, Reject = 3, Renew = 4;

    /// <summary>The topic of the requests.</summary>
    public Guid TopicId { get; set; } = topicId;

    /// <summary>The version of fetches and acknowledgements.</summary>
    public short Version { get; set; } = 2;

    /// <summary>Joins the group, which reads the topic orders.</summary>
    public async Task JoinAsync(string group = "g") => Assert.Contains("ErrorCode: 0\n", await AskAsync(Heartbeat, 1,
        new Fields(new() { ["GroupId"] = group, ["MemberId"] = member, ["MemberEpoch"] = 0, ["RackId"] = null,
            ["SubscribedTopicNames"] = "orders" }, TopicId, [], [])), StringComparison.Ordinal);

    /// <summary>Sends a heartbeat that joins with epoch 0, and continues with later ones.</summary>
    public Task<string> BeatAsync(int epoch) => AskAsync(Heartbeat, 1, new Fields(new() { ["GroupId"] = "g", ["MemberId"] = member,
        ["MemberEpoch"] = epoch, ["RackId"] = null, ["SubscribedTopicNames"] = epoch == 0 ? "orders" : null }, TopicId, [], []));

    /// <summary>Leaves the group.</summary>
    public async Task LeaveAsync(string group = "g") => await AskAsync(Heartbeat, 1, new Fields(new() { ["GroupId"] = group,
        ["MemberId"] = member, ["MemberEpoch"] = -1, ["RackId"] = null, ["SubscribedTopicNames"] = null }, TopicId, [], []));

    /// <summary>Fetches from partition 0, or from those that are acknowledged. Records end the wait; where none are expected, it is to be
    /// short.</summary>
    public Task<string> FetchAsync(int epoch, WireAck[]? acks = null, int maxRecords = 100, int maxBytes = 1 << 20, int maxWait = 20_000,
        bool isRenewal = false, int[]? forgotten = null, bool isStrict = false) => AskAsync(Fetch, Version, new Fields(new()
        {
            ["GroupId"] = "g",
            ["MemberId"] = member,
            ["ShareSessionEpoch"] = epoch,
            ["MaxWaitMs"] = maxWait,
            ["MinBytes"] = isRenewal ? 0 : 1,
            ["MaxBytes"] = maxBytes,
            ["MaxRecords"] = maxRecords,
            ["BatchSize"] = maxRecords,
            ["ShareAcquireMode"] = isStrict ? 1 : 0,
            ["IsRenewAck"] = isRenewal,
        }, TopicId, acks ?? (forgotten is null ? [new WireAck(0)] : []), forgotten ?? []));

    public Task<string> AcknowledgeAsync(int epoch, params WireAck[] acks) => AskAsync(Acknowledge, Version, new Fields(new()
    {
        ["GroupId"] = "g",
        ["MemberId"] = member,
        ["ShareSessionEpoch"] = epoch,
        ["IsRenewAck"] = true,
    }, TopicId, acks, []));

    /// <summary>An acknowledgement of partition 0.</summary>
    public static WireAck Ack(long first, long last, params sbyte[] types) => new(0, (first, last, types));

    /// <summary>The acquired records of a response: first, last, deliveries.</summary>
    public static IReadOnlyList<(long First, long Last, int Deliveries)> Acquired(string response) => [.. AcquiredRecord().Matches(response)
        .Select(static match => (long.Parse(match.Groups[1].ValueSpan), long.Parse(match.Groups[2].ValueSpan),
            int.Parse(match.Groups[3].ValueSpan)))];

    /// <summary>The numbers of a field, in order.</summary>
    public static IReadOnlyList<int> Of(string field, string response) =>
        [.. Regex.Matches(response, $"\\b{field}: (-?\\d+)").Select(static match => int.Parse(match.Groups[1].ValueSpan))];

    /// <summary>The error of the whole response.</summary>
    public static int Error(string response) => Of("ErrorCode", response)[0];

    public void Dispose() => client.Dispose();

    private async Task<string> AskAsync(short key, short version, Fields fields)
    {
        await client.SendAsync(new MessageEncoder(fields).Request(Schema.Request(key), version, ++_correlation, "test"));
        var response = await client.ReceiveAsync() ?? throw new IOException("The broker closed the connection.");
        return MessageText.OfResponse(Schema.Response(key), version, response, _correlation);
    }

    [GeneratedRegex(@"FirstOffset: (\d+)\s+LastOffset: (\d+)\s+DeliveryCount: (\d+)")]
    private static partial Regex AcquiredRecord();

    /// <summary>Walks over the acknowledgements as the encoder asks for them.</summary>
    private sealed class Fields(Dictionary<string, object?> given, Guid topicId, WireAck[] acks, int[] forgotten) : IFieldValues
    {
        private (int Partition, int Batch, int Type) _at = (-1, -1, -1);
        private bool _forgets;

        public int Length(Field field, bool mayBeNull) => field.Name switch
        {
            "Topics" => acks.Length > 0 ? 1 : 0,
            "Partitions" when _forgets => forgotten.Length,
            "Partitions" => acks.Length,
            "AcknowledgementBatches" => acks[_at.Partition].Batches.Length,
            "AcknowledgeTypes" => acks[_at.Partition].Batches[_at.Batch].Types.Length,
            "ForgottenTopicsData" => (_forgets = true) && forgotten.Length > 0 ? 1 : 0,
            _ => given[field.Name] is null ? -1 : 1,
        };

        public bool IsNull(Field field) => true;

        public object? Value(Field field, bool mayBeNull)
        {
            switch (field.Name)
            {
                case "TopicId":
                    return topicId;
                case "PartitionIndex":
                    _at = (_at.Partition + 1, -1, -1);
                    return acks[_at.Partition].Partition;
                case "Partitions":
                    return forgotten[^1];
                case "FirstOffset":
                    _at = (_at.Partition, _at.Batch + 1, -1);
                    return acks[_at.Partition].Batches[_at.Batch].First;
                case "LastOffset":
                    return acks[_at.Partition].Batches[_at.Batch].Last;
                case "AcknowledgeTypes":
                    _at.Type++;
                    return (int)acks[_at.Partition].Batches[_at.Batch].Types[_at.Type];
                default:
                    return given[field.Name];
            }
        }
    }
}
