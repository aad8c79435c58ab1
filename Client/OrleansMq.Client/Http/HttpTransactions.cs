using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Transactions over HTTP. Each request of a producer goes to one broker after the other as long as it was certainly not carried
/// out. Where that is unknown it ends as <see cref="ErrorCode.CoordinatorNotAvailable"/>, since each may be repeated, and the repetition
/// goes to the next broker. The broker sets the caller.</summary>
internal sealed class HttpTransactions(HttpBroker broker) : ITransactionCoordinator
{
    private const string Root = "api/transactions";

    private static TransactionJson Json => TransactionJson.Default;

    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        return request.Answer(request switch
        {
            InitTransactions init => await OfferAsync(init, "init", InitTransactionsBody.Of(init), Json.InitTransactionsBody,
                Json.InitTransactionsResult, cancellationToken).ConfigureAwait(false),
            AddToTransaction add => await OfferAsync(add, "add", AddToTransactionBody.Of(add), Json.AddToTransactionBody,
                Json.AddToTransactionResult, cancellationToken).ConfigureAwait(false),
            EndTransaction end => await OfferAsync(end, "end", EndTransactionBody.Of(end), Json.EndTransactionBody,
                Json.EndTransactionResult, cancellationToken).ConfigureAwait(false),
            DescribeTransaction => await AskAsync(HttpMethod.Get, PathOf(request.TransactionalId), cancellationToken)
                .ConfigureAwait(false),
            AbortTransaction abort => await AskAsync(HttpMethod.Post, $"{PathOf(abort.TransactionalId)}/abort{QueryOf(abort)}",
                cancellationToken).ConfigureAwait(false),
            _ => throw new NotSupportedException($"{request.GetType().Name} is not served over HTTP: send it within the cluster."),
        });
    }

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default) =>
        (await broker.AskAsync(HttpMethod.Get, PathOf(transactionalId) + "/coordinator", null, Json.CoordinatorAnswer, cancellationToken)
            .ConfigureAwait(false)).BrokerId;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default) =>
        broker.AskAsync(HttpMethod.Get, Root, null, Json.IReadOnlyListTransactionListing, cancellationToken);

    private async ValueTask<object> AskAsync(HttpMethod method, string path, CancellationToken cancellationToken) =>
        (await broker.AskAsync(method, path, null, Json.TransactionDescriptionDocument, cancellationToken).ConfigureAwait(false))
            .ToDescription();

    private async ValueTask<object> OfferAsync<TBody, TAnswer>(ITransactionRequest request, string path, TBody body,
        JsonTypeInfo<TBody> bodyType, JsonTypeInfo<TAnswer> answerType, CancellationToken cancellationToken) where TAnswer : class
    {
        try
        {
            return await broker.OfferAsync($"{Root}/{path}", () => JsonContent.Create(body, bodyType), answerType, TimeSpan.Zero,
                cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException failure)
        {
            return request.Refuse(HttpBroker.CoordinatorErrorOf(failure), failure.Message);
        }
    }

    private static string QueryOf(AbortTransaction abort) =>
        abort.Number == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"?number={abort.Number}");

    // In a path the names "." and ".." always mean something else.
    private static string PathOf(string transactionalId) => transactionalId is not (null or "" or "." or "..")
        ? $"{Root}/{Uri.EscapeDataString(transactionalId)}"
        : throw new BrokerException(ErrorCode.InvalidRequest,
            $"The transactional id is '{transactionalId}'; over HTTP an id that is described or aborted is not empty, '.' or '..'.");
}
