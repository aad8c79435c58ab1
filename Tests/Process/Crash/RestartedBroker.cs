using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Crash;

/// <summary>A broker that restarts on the same directory and port each time it is killed.</summary>
internal sealed class RestartedBroker(string dataDirectory) : IAsyncDisposable
{
    private RunningBroker? _broker;

    public int Kills { get; private set; }

    public string Url => _broker!.Url;

    public async Task StartAsync() => _broker = await RunningBroker.UpAsync(dataDirectory);

    public async Task KillAndRestartAsync() => await await KillAsync();

    /// <summary>Kills it. Returns its restart, once it is dead.</summary>
    public async Task<Task> KillAsync()
    {
        await _broker!.KillAsync();
        Kills++;
        return RestartAsync(_broker.Port);
    }

    private async Task RestartAsync(int port)
    {
        await _broker!.DisposeAsync();
        _broker = await RunningBroker.UpAsync(dataDirectory, port);
    }

    /// <summary>Waits until a batch was appended since the broker's start, by its metrics.</summary>
    public Task WaitUntilProducedAsync(TimeSpan patience) => _broker!.WaitForMetricAsync(
        "orleansmq_http_request_duration_seconds_count{route=\"/api/topics/{topic}/partitions/{partition}/batches\",method=\"POST\","
        + "status=\"200\"}", patience);

    /// <summary>Waits until a client has received a topic's metadata, by the broker's metrics.</summary>
    public Task WaitUntilTopicWasAskedForAsync(TimeSpan patience) =>
        _broker!.WaitForMetricAsync(
            "orleansmq_http_request_duration_seconds_count{route=\"/api/topics/{topic}\",method=\"GET\",status=\"200\"}", patience);

    public Task<Outcome> OmqAsync(params string[] arguments) => _broker!.OmqAsync(arguments);

    public ValueTask DisposeAsync() => _broker?.DisposeAsync() ?? ValueTask.CompletedTask;
}
