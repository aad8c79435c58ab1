using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Api;

namespace OrleansMq.Client.Http;

/// <summary>How one type of request to a group travels over HTTP.</summary>
internal abstract class GroupRoute<TResult>
{
    /// <summary>Sends a request of that type.</summary>
    public abstract ValueTask<TResult> SendAsync(HttpBroker broker, IGroupRequest<TResult> request, CancellationToken cancellationToken);
}

/// <summary>A request of administration: its answer is a resource, and a refusal is thrown.</summary>
internal sealed class AdministrationRoute<TResult>(Func<HttpBroker, string, CancellationToken, ValueTask<TResult>> send)
    : GroupRoute<TResult>
{
    /// <inheritdoc/>
    public override ValueTask<TResult> SendAsync(HttpBroker broker, IGroupRequest<TResult> request,
        CancellationToken cancellationToken) => send(broker, GroupRoutes.PathOf(request.GroupId), cancellationToken);
}

/// <summary>
/// A request of a protocol: <c>POST /api/groups/PATH</c>. It goes to one broker after the other as long as it was certainly not carried
/// out. Where that is unknown it ends as <see cref="ErrorCode.CoordinatorNotAvailable"/>, since each of them may be sent again, and the
/// next one goes to the next broker.
/// </summary>
/// <param name="path">The last part of the path.</param>
/// <param name="bodyOf">Makes the body.</param>
/// <param name="bodyType">The body's JSON.</param>
/// <param name="answerType">The answer's JSON.</param>
/// <param name="resultOf">Reads the answer.</param>
/// <param name="maxWaitOf">How long the broker may wait before it answers, on top of the time limit of every request.</param>
internal sealed class ProtocolRoute<TRequest, TResult, TBody, TAnswer>(string path, Func<TRequest, TBody> bodyOf,
    JsonTypeInfo<TBody> bodyType, JsonTypeInfo<TAnswer> answerType, Func<TAnswer, TResult> resultOf,
    Func<TRequest, TimeSpan>? maxWaitOf = null) : GroupRoute<TResult> where TRequest : class, IGroupRequest<TResult>
{
    /// <inheritdoc/>
    public override async ValueTask<TResult> SendAsync(HttpBroker broker, IGroupRequest<TResult> request,
        CancellationToken cancellationToken)
    {
        var body = bodyOf((TRequest)request);
        try
        {
            return resultOf(await broker.OfferAsync($"{GroupRoutes.Root}/{path}", () => JsonContent.Create(body, bodyType), answerType,
                maxWaitOf?.Invoke((TRequest)request) ?? TimeSpan.Zero, cancellationToken).ConfigureAwait(false));
        }
        catch (BrokerException failure)
        {
            return request.Refused(CodeOf(failure), failure.Message);
        }
    }

    // A broker that is not there, or does not serve yet, is a coordinator that is not there.
    private static ErrorCode CodeOf(BrokerException failure) =>
        failure is BrokerUnreachableException || failure.Code is ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut
        ? ErrorCode.CoordinatorNotAvailable : failure.Code;
}
