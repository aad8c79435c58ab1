using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 18: which requests are served in which versions, and what program the client is (KIP-511).</summary>
internal sealed class ApiVersionsApi() : KafkaApi<ApiVersionsRequest>(ApiKey.ApiVersions, 0, 4, flexibleFrom: 3)
{
    /// <summary>Always the old header: a client reads the answer before it knows what the broker can do.</summary>
    public override bool HasTagsInResponseHeader(short version) => false;

    /// <summary>The answer to a version that is not served, in the form of version 0: the one range that the client needs to ask
    /// again.</summary>
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
            response.WriteInt32(0);
        response.WriteNoTags();
        return Answered;
    }

    private static void WriteRange(ResponseWriter response, KafkaApi api)
    {
        response.WriteInt16((short)api.Key);
        response.WriteInt16(api.MinVersion);
        response.WriteInt16(api.MaxVersion);
        response.WriteNoTags();
    }

    // Letters and digits, and in between also '-' and '.'.
    private static bool IsSoftware(string text) =>
        text.Length > 0 && char.IsAsciiLetterOrDigit(text[0]) && char.IsAsciiLetterOrDigit(text[^1])
            && text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.');
}

/// <summary>The body: what program the client is.</summary>
internal sealed record ApiVersionsRequest(string SoftwareName, string SoftwareVersion)
{
    public static ApiVersionsRequest Silent { get; } = new("", "");
}
