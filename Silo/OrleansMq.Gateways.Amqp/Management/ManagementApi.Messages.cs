using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using OrleansMq.Access;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Quotas;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Amqp.Management;

// Messages that operators publish and get: for a look, not for traffic.
internal sealed partial class ManagementApi
{
    // What one answer holds in memory, and one message more.
    private const long MaxGottenBytes = 32L << 20;
    // The messages of one answer: a look, not traffic.
    private const int MaxGotten = 1_000;
    // What all answers hold. The largest message fits.
    private readonly RequestBudget _answers = new(256L << 20);

    // The posts that answer with a document: what writes it. Null: the path is none of these.
    private async Task<Func<HttpContext, Task>?> AnswerPostAsync(ManagementRequest request, string[] path)
    {
        switch (path)
        {
            case ["exchanges", var host, var exchange, "publish"]:
                await request.EnterAsync(host).ConfigureAwait(false);
                var isRouted = await PublishAsync(request, host, NameOf(exchange)).ConfigureAwait(false);
                return context => WriteAsync(context, StatusCodes.Status200OK,
                    writer => Object(writer, () => writer.WriteBoolean("routed", isRouted)));
            case ["queues", var host, var queue, "get"]:
                await request.EnterAsync(host).ConfigureAwait(false);
                return await GetAsync(request, host, queue).ConfigureAwait(false);
            // RabbitMQ answers nothing; a request with the flag is told what was left out.
            case ["definitions"] or ["definitions", _] when request.Flag("left_out"):
                var leftOut = await ImportAsync(request, path).ConfigureAwait(false);
                return context => WriteAsync(context, StatusCodes.Status200OK,
                    writer => Object(writer, () => WriteTexts(writer, "left_out", leftOut)));
            default:
                return null;
        }
    }

    private async Task<bool> PublishAsync(ManagementRequest request, string host, string exchange)
    {
        var body = await request.BodyAsync().ConfigureAwait(false);
        var key = MessageJson.ShortText("routing_key", body.Text("routing_key"));
        var payload = body.Text("payload_encoding", "string") switch
        {
            "string" => Encoding.UTF8.GetBytes(body.Text("payload")),
            "base64" => BytesOf(body.Text("payload")) ?? throw body.Wrong("payload", "must be base64, as payload_encoding says"),
            var other => throw body.Wrong("payload_encoding", $"must be string or base64, not '{other}'"),
        };
        if (payload.Length > amqp.MaxMessageBytes)
            throw body.Wrong("payload", $"has {payload.Length} bytes, at most {amqp.MaxMessageBytes} are allowed");
        var properties = MessageJson.ReadProperties(body.Table("properties"));
        if (amqp.BlockedFor is { } alarm)
            throw ManagementException.Unavailable($"publishers are blocked: {alarm}");
        var pace = PaceOf(request);
        DemandRate(pace, QuotaKey.ProducerByteRate);
        var held = pace?.Charge(QuotaKey.ProducerByteRate, payload.Length + properties.Bytes.Length) ?? TimeSpan.Zero;
        var isRouted = await PublishAsync(request, host, new BasicPublish(exchange, key, Mandatory: true, Immediate: false), properties,
            payload).ConfigureAwait(false);
        if (pace is not null)
            await pace.HoldAsync(QuotaKey.ProducerByteRate, held, request.Context.RequestAborted).ConfigureAwait(false);
        return isRouted;
    }

    private async Task<bool> PublishAsync(ManagementRequest request, string host, BasicPublish publish, ContentProperties properties,
        byte[] payload)
    {
        var channel = await OpenChannelAsync(request, host).ConfigureAwait(false);
        await using (channel.ConfigureAwait(false))
        {
            await channel.HandleAsync(new ConfirmSelect(NoWait: true)).ConfigureAwait(false);
            using var content = new AmqpContent(properties.Bytes.Span, payload.Length);
            content.Append(payload);
            await channel.HandleAsync(publish, content).ConfigureAwait(false);
            var isRouted = true;
            while (true)
            {
                var received = await channel.ReceiveAsync(request.Context.RequestAborted).ConfigureAwait(false);
                if (received.Method is BasicAck)
                    return isRouted;
                if (received.Method is BasicNack)
                    throw ManagementException.Bad("the message was refused: a queue is full, or could not store it");
                isRouted &= received.Method is not BasicReturn;
            }
        }
    }

    private async Task<Func<HttpContext, Task>> GetAsync(ManagementRequest request, string host, string queue)
    {
        var body = await request.BodyAsync().ConfigureAwait(false);
        var count = body.Integer("count", 1);
        if (count < 1)
            throw body.Wrong("count", $"must be 1 or more, not {count}");
        var (isAccepted, isRequeued) = body.Text("ackmode", body.Flag("requeue", true) ? "ack_requeue_true" : "ack_requeue_false") switch
        {
            "ack_requeue_true" or "reject_requeue_true" => (false, true),
            "ack_requeue_false" => (true, false),
            "reject_requeue_false" => (false, false),
            var other => throw body.Wrong("ackmode", "must be ack_requeue_true, ack_requeue_false, reject_requeue_true or "
                + $"reject_requeue_false, not '{other}'"),
        };
        var takesText = body.Text("encoding", "auto") switch
        {
            "auto" => true,
            "base64" => false,
            var other => throw body.Wrong("encoding", $"must be auto or base64, not '{other}'"),
        };
        var truncate = body.Integer("truncate", int.MaxValue);
        if (truncate < 0)
            throw body.Wrong("truncate", $"must be 0 or more, not {truncate}");
        var pace = PaceOf(request);
        DemandRate(pace, QuotaKey.ConsumerByteRate);
        if (pace is not null)
            await pace.HoldAsync(QuotaKey.ConsumerByteRate, request.Context.RequestAborted).ConfigureAwait(false);
        // Returned when the answer is sent.
        var lease = _answers.Begin();
        request.Context.Response.RegisterForDispose(lease);
        var channel = await OpenChannelAsync(request, host).ConfigureAwait(false);
        await using (channel.ConfigureAwait(false))
        {
            var gotten = new List<OperatorChannel.Received>();
            while (gotten.Count < Math.Min(count, MaxGotten) && lease.Taken < MaxGottenBytes)
            {
                await channel.HandleAsync(new BasicGet(queue, NoAck: false)).ConfigureAwait(false);
                var received = await channel.ReceiveAsync(request.Context.RequestAborted).ConfigureAwait(false);
                if (received.Method is not BasicGetOk got)
                    break;
                if (!lease.TryTake(MessageJson.CostOf(received.Properties, received.Body)))
                {
                    await channel.HandleAsync(new BasicNack(got.DeliveryTag, Multiple: false, Requeue: true)).ConfigureAwait(false);
                    if (gotten.Count == 0)
                        throw ManagementException.Unavailable("other answers have all the memory for messages: retry");
                    break;
                }
                pace?.Charge(QuotaKey.ConsumerByteRate, received.Body.Length + received.Properties.Bytes.Length);
                gotten.Add(received);
            }
            foreach (var tag in gotten.Select(static item => ((BasicGetOk)item.Method).DeliveryTag))
            {
                await channel.HandleAsync(isAccepted ? new BasicAck(tag, Multiple: false)
                    : new BasicNack(tag, Multiple: false, isRequeued)).ConfigureAwait(false);
            }
            return context => WriteMessagesAsync(context, gotten, truncate, takesText);
        }
    }

    // Holds the user within its quotas; null where there are none.
    private SessionPace? PaceOf(ManagementRequest request) => broker.Access.Quotas is { Image: not null } quotas
        ? new SessionPace(quotas.Of(BrokerSecurity.PrincipalOf(request.User.State.Name), "")) : null;

    private static void DemandRate(SessionPace? pace, QuotaKey key)
    {
        if (pace?.Refuses(key) is { } refusal)
            throw ManagementException.TooMany(refusal);
    }

    // Sent while it is written: its JSON is never in memory as a whole.
    private static async Task WriteMessagesAsync(HttpContext context, List<OperatorChannel.Received> items, int truncate, bool takesText)
    {
        BeginAnswer(context, StatusCodes.Status200OK);
        var output = context.Response.BodyWriter;
        var writer = new Utf8JsonWriter(output, Json);
        await using (writer.ConfigureAwait(false))
        {
            writer.WriteStartArray();
            foreach (var item in items)
            {
                var message = (BasicGetOk)item.Method;
                writer.WriteStartObject();
                writer.WriteNumber("payload_bytes", item.Body.Length);
                writer.WriteBoolean("redelivered", message.Redelivered);
                writer.WriteString("exchange", message.Exchange);
                writer.WriteString("routing_key", message.RoutingKey);
                writer.WriteNumber("message_count", message.MessageCount);
                MessageJson.WriteProperties(writer, item.Properties);
                await MessageJson.WriteBodyAsync(writer, output, item.Body[..Math.Min(truncate, item.Body.Length)], takesText,
                    context.RequestAborted).ConfigureAwait(false);
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
        }
    }

    private Task<OperatorChannel> OpenChannelAsync(ManagementRequest request, string host)
    {
        var connection = request.Context.Connection;
        var remote = new IPEndPoint(connection.RemoteIpAddress ?? IPAddress.Loopback, connection.RemotePort);
        return OperatorChannel.OpenAsync(amqp, host, new AmqpClient(remote)
        {
            User = request.User.State.Name,
            UserId = request.User.State.Id,
        });
    }

    private static byte[]? BytesOf(string base64)
    {
        var bytes = new byte[base64.Length];
        return Convert.TryFromBase64String(base64, bytes, out var count) ? bytes[..count] : null;
    }
}
