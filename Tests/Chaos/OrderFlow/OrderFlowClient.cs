using System.Net.Http.Json;

namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>A client of the sample's API: repeats a request at another silo until one answers.</summary>
internal sealed class OrderFlowClient(IReadOnlyList<Uri> silos) : IDisposable
{
    // Longer than a failover, shorter than a silo stays paused.
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1), UseCookies = false })
    {
        Timeout = RequestTimeout,
    };
    private int _repeated;

    /// <summary>How many requests were repeated.</summary>
    public int Repeated => Volatile.Read(ref _repeated);

    public Task<T> PutAsync<T>(string path, object body) =>
        AnswerAsync<T>(silo => _http.PutAsJsonAsync(new Uri(silo, path), body), path);

    public Task<T> GetAsync<T>(string path) => AnswerAsync<T>(silo => _http.GetAsync(new Uri(silo, path)), path);

    public void Dispose() => _http.Dispose();

    private async Task<T> AnswerAsync<T>(Func<Uri, Task<HttpResponseMessage>> send, string path)
    {
        using var patience = new CancellationTokenSource(Patience);
        var last = "";
        while (!patience.IsCancellationRequested)
        {
            try
            {
                using var answer = await send(silos[Random.Shared.Next(silos.Count)]);
                if (answer.IsSuccessStatusCode)
                    return (await answer.Content.ReadFromJsonAsync<T>())!;
                last = $"{(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}";
                Assert.True((int)answer.StatusCode >= 500, $"{path} was refused: {last}");
            }
            catch (Exception failed) when (failed is HttpRequestException or OperationCanceledException or IOException)
            {
                last = failed.Message;
            }
            Interlocked.Increment(ref _repeated);
            await Task.Delay(RetryPause, CancellationToken.None);
        }
        throw new TimeoutException($"For {Patience.TotalSeconds} s no silo answered {path}: {last}");
    }
}
