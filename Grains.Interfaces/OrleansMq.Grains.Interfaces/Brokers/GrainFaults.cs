namespace OrleansMq.Grains.Brokers;

/// <summary>Translates grain calls without an answer for callers of the broker API.</summary>
internal static class GrainFaults
{
    /// <summary>Whether the exception means that Orleans got no answer: a timeout, a dead silo, or a rejected message.</summary>
    public static bool IsUnanswered(Exception exception) => exception is TimeoutException or OrleansException;

    /// <summary>Formats the message of <see cref="ErrorCode.RequestTimedOut"/>.</summary>
    public static string Message(string what, Exception exception) =>
        $"{what} was not answered by the cluster; whether it was done is unknown. Retry. ({exception.GetType().Name}: {exception.Message})";

    /// <summary>Awaits an administrative call. An unanswered one becomes a retriable <see cref="BrokerException"/>.</summary>
    public static async ValueTask<T> AnswerAsync<T>(string what, Task<T> call, CancellationToken cancellationToken)
    {
        try
        {
            return await call.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (IsUnanswered(exception))
        {
            throw new BrokerException(ErrorCode.RequestTimedOut, Message(what, exception), exception);
        }
    }
}
