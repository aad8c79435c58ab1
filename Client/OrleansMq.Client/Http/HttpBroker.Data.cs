using System.Buffers;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>The data path: raw batches in both directions, errors as codes.</content>
public sealed partial class HttpBroker
{
    /// <inheritdoc/>
    public async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        if (!acks.IsKnown())
            return ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, $"Acks is {(int)acks}; allowed are {AcksLevels.Allowed}.");
        return await PostInTurnAsync(partition, $"acks={HttpContract.Format(acks)}", batch, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch, BatchTransaction transaction,
        CancellationToken cancellationToken = default) => PostInTurnAsync(partition,
            string.Create(CultureInfo.InvariantCulture,
                $"transaction={transaction.Number}&transactionalId={Uri.EscapeDataString(transaction.TransactionalId)}"), batch,
            cancellationToken);

    private async ValueTask<ProduceResult> PostInTurnAsync(TopicPartition partition, string query, Memory<byte> batch,
        CancellationToken cancellationToken)
    {
        var turn = _turns.GetOrAdd(partition, static _ => new SemaphoreSlim(1, 1));
        await turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await PostBatchAsync($"{PartitionPath(partition)}/batches?{query}", batch).ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    /// <inheritdoc/>
    public async ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        if (request.Offset < 0)
            return FetchResult.Failed(ErrorCode.OffsetOutOfRange, $"{request.Partition}: offset {request.Offset} is below 0.");
        var path = string.Create(CultureInfo.InvariantCulture,
            $"{PartitionPath(request.Partition)}/batches?offset={request.Offset}&maxBytes={request.MaxBytes}&minBytes={request.MinBytes}"
            + $"&waitMs={(long)request.MaxWait.TotalMilliseconds}&isolation={HttpContract.Format(request.Isolation)}");
        for (var attempt = 1; ; attempt++)
        {
            var address = _addresses.Current;
            try
            {
                return await FetchOnceAsync(address, path, request.MaxWait, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (IsUnreachable(e) && !cancellationToken.IsCancellationRequested)
            {
                _addresses.MoveOn(address);
                // A read has no effect, so the code for "certainly not executed" is always right.
                if (attempt >= _addresses.All.Count)
                    return FetchResult.Failed(ErrorCode.LeaderNotAvailable, UnreachableMessage(address, e));
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default)
    {
        try
        {
            var found = await AskOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
            return new OffsetResult(ErrorCode.None, found.Offset, found.Timestamp, found.LeaderEpoch);
        }
        catch (BrokerUnreachableException e)
        {
            return new OffsetResult(ErrorCode.LeaderNotAvailable, -1, Message: e.Message);
        }
        catch (BrokerException e)
        {
            return new OffsetResult(e.Code, -1, Message: e.Message);
        }
    }

    /// <summary>Finds a partition's end.</summary>
    /// <exception cref="BrokerException">The broker cannot tell, or refuses to.</exception>
    internal async ValueTask<long> EndOfAsync(TopicPartition partition, CancellationToken cancellationToken) =>
        (await AskOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false)).Offset;

    private ValueTask<OffsetResponse> AskOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken)
    {
        var isolation = spec.Isolation == IsolationLevel.ReadUncommitted ? "" : $"&isolation={HttpContract.Format(spec.Isolation)}";
        return AskAsync(HttpMethod.Get, $"{PartitionPath(partition)}/offsets?at={HttpContract.Format(spec)}{isolation}", null,
            HttpJson.Default.OffsetResponse, cancellationToken);
    }

    private async ValueTask<FetchResult> FetchOnceAsync(Uri address, string path, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(_options.RequestTimeout + maxWait, _options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        using var message = NewRequest(address, HttpMethod.Get, path, null);
        using var response = await _http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, either.Token).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode)
        {
            var (code, text, fromBroker) = await ReadErrorAsync(response, either.Token).ConfigureAwait(false);
            MoveOnAfter(address, code, !fromBroker);
            return new FetchResult(code, Header(response, HttpContract.HighWatermarkHeader),
                Header(response, HttpContract.LastStableOffsetHeader), Header(response, HttpContract.LogStartOffsetHeader), default, null,
                text)
            {
                LeaderEpoch = (int)Math.Min(Header(response, HttpContract.LeaderEpochHeader), int.MaxValue),
            };
        }
        var (owner, length) = await ReadBodyAsync(response, either.Token).ConfigureAwait(false);
        return new FetchResult(ErrorCode.None, Header(response, HttpContract.HighWatermarkHeader),
            Header(response, HttpContract.LastStableOffsetHeader),
            Header(response, HttpContract.LogStartOffsetHeader), owner.Memory[..length], owner);
    }

    private async ValueTask<ProduceResult> PostBatchAsync(string path, Memory<byte> batch)
    {
        for (var attempt = 1; ; attempt++)
        {
            var address = _addresses.Current;
            var content = new BatchContent(batch);
            try
            {
                var result = await PostAsync(address, path, content).ConfigureAwait(false);
                // Another broker is tried at once only if the batch was certainly not sent. Any other retry is up to the producer.
                if (result.Error != ErrorCode.LeaderNotAvailable || content.WasStarted || attempt >= _addresses.All.Count)
                    return result;
            }
            finally
            {
                // The memory belongs to the caller again when this method returns, so nothing may still read it.
                await content.DetachAsync().ConfigureAwait(false);
            }
        }
    }

    private async ValueTask<ProduceResult> PostAsync(Uri address, string path, BatchContent content)
    {
        using var deadline = new CancellationTokenSource(_options.RequestTimeout, _options.TimeProvider);
        using var request = NewRequest(address, HttpMethod.Post, path, content);
        try
        {
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseContentRead,
                deadline.Token).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                var (code, text, fromBroker) = await ReadErrorAsync(response, deadline.Token).ConfigureAwait(false);
                MoveOnAfter(address, code, !fromBroker);
                return ProduceResult.Failed(code, text);
            }
            var answer = await response.Content.ReadFromJsonAsync(HttpJson.Default.ProduceResponse, deadline.Token).ConfigureAwait(false);
            return answer is null
                ? ProduceResult.Failed(ErrorCode.RequestTimedOut, $"{address}{path} answered with null.")
                : new ProduceResult(ErrorCode.None, answer.BaseOffset, answer.LogAppendTime, answer.LogStartOffset);
        }
        catch (JsonException e)
        {
            return ProduceResult.Failed(ErrorCode.UnknownServerError, NotABroker($"{address}{path}", e).Message);
        }
        catch (Exception e) when (IsUnreachable(e))
        {
            _addresses.MoveOn(address);
            return ProduceResult.Failed(content.WasStarted ? ErrorCode.RequestTimedOut : CodeOfUnreachable(e),
                UnreachableMessage(address, e));
        }
    }

    private static async ValueTask<(IMemoryOwner<byte> Owner, int Length)> ReadBodyAsync(HttpResponseMessage response,
        CancellationToken cancellationToken)
    {
        const int UnknownLengthStart = 64 << 10;
        var expected = response.Content.Headers.ContentLength;
        var owner = MemoryPool<byte>.Shared.Rent(Math.Max(1, (int)Math.Min(expected ?? UnknownLengthStart, Array.MaxLength)));
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            var length = 0;
            while (true)
            {
                if (length == owner.Memory.Length && length != expected)
                    owner = Grow(owner, length);
                // The HTTP handler throws if the body ends before its content length. Reading at the end returns 0.
                var read = await body.ReadAsync(owner.Memory[length..], cancellationToken).ConfigureAwait(false);
                if (read == 0)
                    return (owner, length);
                length += read;
            }
        }
        catch
        {
            owner.Dispose();
            throw;
        }
    }

    private static IMemoryOwner<byte> Grow(IMemoryOwner<byte> owner, int length)
    {
        var larger = MemoryPool<byte>.Shared.Rent(checked(length * 2));
        owner.Memory[..length].CopyTo(larger.Memory);
        owner.Dispose();
        return larger;
    }

    private static long Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values)
        && long.TryParse(values.FirstOrDefault(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            ? value
            : -1;
}
