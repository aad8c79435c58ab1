#nullable disable
using System;
using System.Collections.Generic;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;
using EasyNetQ.Management.Client.Model;

// The tests list and close connections with the package EasyNetQ.Management.Client. This has what they call of it.
namespace EasyNetQ.Management.Client
{
    public sealed class UnexpectedHttpStatusCodeException(string message) : Exception(message);

    public sealed class ManagementClient : IDisposable
    {
        private readonly HttpClient _http;

        public ManagementClient(Uri address, string user, string password)
        {
            _http = new HttpClient { BaseAddress = address };
            var login = Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{password}"));
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", login);
        }

        public async Task<IReadOnlyList<Connection>> GetConnectionsAsync()
        {
            using var connections = JsonDocument.Parse(await _http.GetStringAsync("/api/connections"));
            return [.. connections.RootElement.EnumerateArray().Select(Read)];
        }

        public async Task CloseConnectionAsync(Connection connection)
        {
            using var answer = await _http.DeleteAsync($"/api/connections/{Uri.EscapeDataString(connection.Name)}");
            if (!answer.IsSuccessStatusCode)
                throw new UnexpectedHttpStatusCodeException($"DELETE of connection {connection.Name}: {answer.StatusCode}");
        }

        public void Dispose() => _http.Dispose();

        // A connection that is still in its handshake has no properties yet.
        private static Connection Read(JsonElement connection)
        {
            var properties = new Dictionary<string, object> { ["connection_name"] = null };
            if (connection.TryGetProperty("client_properties", out var sent) && sent.ValueKind == JsonValueKind.Object)
            {
                foreach (var property in sent.EnumerateObject())
                {
                    properties[property.Name] = property.Value.ValueKind == JsonValueKind.String
                        ? property.Value.GetString()
                        : property.Value.GetRawText();
                }
            }
            return new Connection(connection.GetProperty("name").GetString(), properties);
        }
    }
}

namespace EasyNetQ.Management.Client.Model
{
    public sealed record Connection(string Name, IReadOnlyDictionary<string, object> ClientProperties);
}
