namespace OrleansMq.Streams;

/// <summary>Calls subscribers. A call that fails on its way is told from an observer that fails.</summary>
internal sealed class GrainCaller(IGrainFactory grains)
{
    /// <summary>Delivers events; never throws but when it is cancelled.</summary>
    public async Task<DeliveryAnswer> DeliverAsync(GrainId grain, StreamDelivery delivery, CancellationToken cancellationToken)
    {
        DeliveryAnswer answer;
        try
        {
            answer = await grains.GetGrain(grain).AsReference<IStreamConsumer>().DeliverAsync(delivery).WaitAsync(cancellationToken)
                .ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception failure)
        {
            answer = new DeliveryAnswer(0, OutcomeOf(failure), Causes.Of(failure));
        }
        return answer.Outcome == DeliveryOutcome.Served ? answer
            : answer with { Cause = $"Grain {grain}, subscription {delivery.Subscription}: {answer.Cause}" };
    }

    // An observer's own exceptions come as an answer. What is thrown is Orleans' (the grain was not reached), or that of an activation.
    internal static DeliveryOutcome OutcomeOf(Exception failure) =>
        failure is OrleansException or ObjectDisposedException ? DeliveryOutcome.Unreachable : DeliveryOutcome.Failed;
}
