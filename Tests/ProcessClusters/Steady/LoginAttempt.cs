using Confluent.Kafka;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using KafkaError = Confluent.Kafka.ErrorCode;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>A new connection of Confluent.Kafka to one broker.</summary>
internal static class LoginAttempt
{
    // A refusal is noticed when a request has timed out.
    private static readonly TimeSpan Request = TimeSpan.FromSeconds(1);

    /// <summary>Connects. Returns whether the broker accepted the login; false if it refused it.</summary>
    /// <param name="broker">The broker's address.</param>
    /// <param name="login">The login.</param>
    /// <exception cref="KafkaException">It did neither in time.</exception>
    public static Task<bool> IsAcceptedAsync(string broker, SteadyLogin login)
    {
        Librdkafka.Require();
        return Task.Factory.StartNew(() => IsAccepted(broker, login), CancellationToken.None, TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
    }

    private static bool IsAccepted(string broker, SteadyLogin login)
    {
        var refused = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var config = new AdminClientConfig { BootstrapServers = broker };
        login.AddTo(config);
        using var admin = new AdminClientBuilder(config).SetLogHandler(static (_, _) => { }).SetErrorHandler((_, error) =>
        {
            if (error.Code == KafkaError.Local_Authentication)
                refused.TrySetResult();
        }).SetOAuthBearerTokenRefreshHandler((client, _) => login.SetToken(client)).Build();
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (!refused.Task.IsCompleted)
        {
            try
            {
                admin.GetMetadata(Request);
                return true;
            }
            catch (KafkaException) when (!deadline.IsCancellationRequested)
            {
                // Refused, or not connected yet.
            }
        }
        return false;
    }
}
