using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 18: returns the supported requests and versions, and receives the client's software name (KIP-511).</summary>
internal sealed class ApiVersionsApi() : KafkaApi<ApiVersionsRequest>(ApiKey.ApiVersions, 0, 4, flexibleFrom: 3)
{
    // Share groups are served, and transactions of which each has an epoch of its own: a client ends them so only where it is told.
    private static readonly (string Name, short Level)[] Features = [("share.version", 1), ("transaction.version", 2)];

    /// <summary>Never: the header has its first form, since a client reads this answer before it knows what the broker supports.</summary>
    public override bool HasTagsInResponseHeader(short version) => false;

    /// <summary>Writes the answer to an unsupported version in the form of version 0. It has the one range that the client needs for its
    /// retry.</summary>
    public void WriteUnsupported(ResponseWriter response)
    {
        response.WriteError(ErrorCode.UnsupportedVersion);
        response.WriteLength(1);
        WriteRange(response, this);
    }

    protected override ApiVersionsRequest Read(ref RequestReader reader, short version) =>
        version >= 3 ? new ApiVersionsRequest(reader.ReadString(), reader.ReadString()) : ApiVersionsRequest.Silent;

    protected override ValueTask<bool> AnswerAsync(RequestContext context, ApiVersionsRequest request, ResponseWriter response)
    {
        var isRefused = context.Version >= 3 && !(IsSoftware(request.SoftwareName) && IsSoftware(request.SoftwareVersion));
        if (!isRefused && context.Version >= 3)
            context.Connection.Introduce(request.SoftwareName, request.SoftwareVersion);
        response.WriteError(isRefused ? ErrorCode.InvalidRequest : ErrorCode.None);
        var served = isRefused ? [] : ApiTable.All;
        response.WriteLength(served.Count);
        foreach (var api in served)
            WriteRange(response, api);
        if (context.Version >= 1)
            response.WriteThrottle();
        if (isRefused || context.Version < 3)
            response.WriteNoTags();
        else
            WriteFeatures(response);
        return Answered;
    }

    // What the cluster has switched on (KIP-584). Up to version 3, a client does not expect a supported feature that may be off.
    private static void WriteFeatures(ResponseWriter response)
    {
        response.WriteTagCount(response.Version >= 4 ? 3 : 2);
        if (response.Version >= 4)
            response.WriteTag(0, true, WriteFeatures);
        response.WriteTag(1, 0L, static (content, epoch) => content.WriteInt64(epoch));
        response.WriteTag(2, false, WriteFeatures);
    }

    // Supported: from the lowest level to the highest. Switched on: both bounds are the level in force.
    private static void WriteFeatures(ResponseWriter content, bool isSupported)
    {
        content.WriteLength(Features.Length);
        foreach (var (name, level) in Features)
        {
            content.WriteString(name);
            content.WriteInt16(isSupported ? (short)0 : level);
            content.WriteInt16(level);
            content.WriteNoTags();
        }
    }

    private static void WriteRange(ResponseWriter response, KafkaApi api)
    {
        response.WriteInt16((short)api.Key);
        response.WriteInt16(api.MinVersion);
        response.WriteInt16(api.MaxVersion);
        response.WriteNoTags();
    }

    // Letters and digits, and '-' and '.' except at either end.
    private static bool IsSoftware(string text) =>
        text.Length > 0 && char.IsAsciiLetterOrDigit(text[0]) && char.IsAsciiLetterOrDigit(text[^1])
            && text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.');
}

/// <summary>The body: the client's software name and version.</summary>
internal sealed record ApiVersionsRequest(string SoftwareName, string SoftwareVersion)
{
    public static ApiVersionsRequest Silent { get; } = new("", "");
}
