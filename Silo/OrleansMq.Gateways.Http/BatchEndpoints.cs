using System.Globalization;
using Microsoft.Net.Http.Headers;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Quotas;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http;

/// <summary><c>.../batches</c>: record batches as they are on disk, for clients that speak the format. The fastest way in and
/// out.</summary>
internal static class BatchEndpoints
{
    /// <summary>The longest wait of a read: 10 minutes. To wait longer, a client asks again.</summary>
    public const int MaxWaitMs = 600_000;

    /// <summary>The most bytes that one read returns, which bounds the memory of an answer: 64 MiB.</summary>
    public const int MaxFetchBytes = 64 << 20;

    /// <summary>The bytes passed to the connection at a time, so that a slow reader holds little more than the batches
    /// themselves.</summary>
    private const int WriteBytes = 128 << 10;

    private const string Path = "/api/topics/{topic}/partitions/{partition}/batches";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost(Path, http => ProduceAsync(http, api));
        routes.MapGet(Path, http => FetchAsync(http, api));
    }

    private static async Task ProduceAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "acks", "transaction", "transactionalId");
        var (acks, transaction) = (query.Acks(), TransactionOf(query));
        var partition = RouteValues.Partition(http);
        RefuseOtherMediaTypes(http.Request);
        var length = LengthOf(http.Request);
        var access = api.AccessOf(http);
        // Before it takes memory. The client is told so again where others have used the quota up meanwhile.
        if (access.Pace?.Refuses(QuotaKey.ProducerByteRate) is { } usedUp)
            throw new BrokerException(ErrorCode.ThrottlingQuotaExceeded, usedUp);
        RequestBody.Limit(http, RequestBody.MaxBatchBytes);
        var body = await SessionPace.ReceiveAsync(api.RequestBodies.ReceiveAsync(http, length), access.Pace);
        var isReturned = false;
        ProduceResult result;
        try
        {
            if (transaction is not null && !IsTransactional(body.Memory.Span))
                throw new RequestException("The batch belongs to no transaction: set bit 4 of its attributes, or leave 'transaction' out.");
            // From here on the broker owns the memory until it answers, so a client's disconnect must not cancel this.
            result = await access.Producer.ProduceAsync(partition, body.Memory, acks, transaction, Return);
        }
        finally
        {
            Return();
        }
        if (result.Error == ErrorCode.None)
            await JsonBodies.WriteAsync(http, new ProduceResponse(result.BaseOffset, result.LogAppendTime, result.LogStartOffset),
                JsonBodies.Answers.ProduceResponse);
        else
            await Problems.WriteAsync(http, api, result.Error, result.Message);

        void Return()
        {
            if (!isReturned)
                api.RequestBodies.Return(body);
            isReturned = true;
        }
    }

    // What is no batch is refused where it is appended.
    private static bool IsTransactional(ReadOnlySpan<byte> batch) =>
        batch.Length < RecordBatchHeader.Size || RecordBatchHeader.Read(batch).IsTransactional;

    // Null: none is given.
    private static BatchTransaction? TransactionOf(QueryValues query)
    {
        if (query.Text("transaction") is null && query.Text("transactionalId") is null)
            return null;
        if (query.Text("transaction") is null || query.Text("transactionalId") is not { } transactionalId)
            throw new RequestException("Of the query parameters 'transaction' and 'transactionalId' one is missing: give the number of "
                + "the batch's transaction, and the transactional id.");
        if (query.Acks() != Acks.All)
            throw QueryValues.Bad("acks", query.Text("acks"), "all, or none given: a batch of a transaction has no other");
        return new BatchTransaction(transactionalId, query.Number("transaction", 0, 0, long.MaxValue));
    }

    /// <summary>Returns the batch's length.</summary>
    private static int LengthOf(HttpRequest request)
    {
        if (request.ContentLength is not { } length)
            throw new RequestException(StatusCodes.Status411LengthRequired, ErrorCode.InvalidRequest,
                "Content-Length is missing: a record batch is sent whole, not in chunks. Send its length in bytes.");
        return length <= RequestBody.MaxBatchBytes
            ? (int)length : throw new RequestException(StatusCodes.Status413PayloadTooLarge, ErrorCode.MessageTooLarge,
            $"Content-Length is {length} bytes; a record batch may have {RequestBody.MaxBatchBytes}.");
    }

    private static async Task FetchAsync(HttpContext http, ApiServices api)
    {
        var query = new QueryValues(http, "offset", "maxBytes", "minBytes", "waitMs", "isolation");
        if (query.Text("offset") is null)
            throw new RequestException("Query parameter 'offset' is missing; expected the first offset wanted, a whole number from 0.");
        var request = new FetchRequest(
            RouteValues.Partition(http),
            query.Number("offset", 0, 0, long.MaxValue),
            (int)Math.Min(query.Number("maxBytes", 1 << 20, 1, int.MaxValue), MaxFetchBytes),
            TimeSpan.FromMilliseconds(query.Number("waitMs", 0, 0, MaxWaitMs)),
            (int)query.Number("minBytes", 1, 0, int.MaxValue),
            query.Isolation());
        using var result = await LongPoll.FetchAsync(http, api, request);
        if (result.Error == ErrorCode.None)
        {
            await WriteAsync(http, result);
            return;
        }
        // A missing offset is answered with the valid ones. Writing a problem clears the headers, so they are added last.
        http.Response.OnStarting(() =>
        {
            WriteOffsets(http.Response, result);
            return Task.CompletedTask;
        });
        await Problems.WriteAsync(http, api, result.Error, result.Message);
    }

    private static async Task WriteAsync(HttpContext http, FetchResult result)
    {
        WriteOffsets(http.Response, result);
        http.Response.ContentType = HttpContract.RecordBatchMediaType;
        http.Response.ContentLength = result.Records.Length;
        for (var rest = result.Records; !rest.IsEmpty; rest = rest[Math.Min(WriteBytes, rest.Length)..])
            await http.Response.BodyWriter.WriteAsync(rest[..Math.Min(WriteBytes, rest.Length)], http.RequestAborted);
    }

    /// <summary>Writes the partition's offsets to the headers.</summary>
    public static void WriteOffsets(HttpResponse response, FetchResult result)
    {
        response.Headers[HttpContract.HighWatermarkHeader] = result.HighWatermark.ToString(CultureInfo.InvariantCulture);
        response.Headers[HttpContract.LastStableOffsetHeader] = result.LastStableOffset.ToString(CultureInfo.InvariantCulture);
        response.Headers[HttpContract.LogStartOffsetHeader] = result.LogStartOffset.ToString(CultureInfo.InvariantCulture);
        if (result.LeaderEpoch >= 0)
            response.Headers[HttpContract.LeaderEpochHeader] = result.LeaderEpoch.ToString(CultureInfo.InvariantCulture);
    }

    private static void RefuseOtherMediaTypes(HttpRequest request)
    {
        if (request.ContentType == HttpContract.RecordBatchMediaType)
            return;
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
            || !type.MediaType.Equals(HttpContract.RecordBatchMediaType, StringComparison.OrdinalIgnoreCase))
            throw new RequestException(StatusCodes.Status415UnsupportedMediaType, ErrorCode.InvalidRequest,
                $"Content-Type is '{request.ContentType}'; expected {HttpContract.RecordBatchMediaType} with one raw record batch. For "
                + "JSON lines use /api/topics/{topic}/records.");
    }
}
