using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 12: a heartbeat of a classic group's member.</summary>
internal sealed class HeartbeatApi() : KafkaApi<Heartbeat>(ApiKey.Heartbeat, 0, 4, flexibleFrom: 4)
{
    protected override Heartbeat Read(ref RequestReader reader, short version) =>
        new(reader.ReadString(), reader.ReadInt32(), reader.ReadString(), version >= 3 ? reader.ReadNullableString() : null);

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, Heartbeat request, ResponseWriter response)
    {
        var result = await context.Broker.Groups.HeartbeatAsync(request, context.Aborted).ConfigureAwait(false);
        if (context.Version >= 1)
            response.WriteThrottle();
        response.WriteError(result.Error);
        response.WriteNoTags();
        return true;
    }
}
