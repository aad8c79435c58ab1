using System.Net;
using System.Text;
using System.Text.Json;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Management;

// Messages that operators publish and get: for a look, not for traffic.
internal sealed partial class ManagementApi
{
    // What one answer holds in memory.
    private const long MaxGottenBytes = 64L << 20;

    // The posts that answer with a document. Null: the path is none of these.
    private async Task<Action<Utf8JsonWriter>?> AnswerPostAsync(ManagementRequest request, string[] path)
    {
        switch (path)
        {
            case ["exchanges", var host, var exchange, "publish"]:
                await request.EnterAsync(host).ConfigureAwait(false);
                var isRouted = await PublishAsync(request, host, NameOf(exchange)).ConfigureAwait(false);
                return writer => Object(writer, () => writer.WriteBoolean("routed", isRouted));
            case ["queues", var host, var queue, "get"]:
                await request.EnterAsync(host).ConfigureAwait(false);
                return await GetAsync(request, host, queue).ConfigureAwait(false);
            // RabbitMQ answers nothing; a request with the flag is told what was left out.
            case ["definitions"] or ["definitions", _] when request.Flag("left_out"):
                var leftOut = await ImportAsync(request, path).ConfigureAwait(false);
                return writer => Object(writer, () => WriteTexts(writer, "left_out", leftOut));
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
        var channel = await OpenChannelAsync(request, host).ConfigureAwait(false);
        await using (channel.ConfigureAwait(false))
        {
            await channel.HandleAsync(new ConfirmSelect(NoWait: true)).ConfigureAwait(false);
            using var content = new AmqpContent(properties.Bytes.Span, payload.Length);
            content.Append(payload);
            await channel.HandleAsync(new BasicPublish(exchange, key, Mandatory: true, Immediate: false), content).ConfigureAwait(false);
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

    private async Task<Action<Utf8JsonWriter>> GetAsync(ManagementRequest request, string host, string queue)
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
        var channel = await OpenChannelAsync(request, host).ConfigureAwait(false);
        await using (channel.ConfigureAwait(false))
        {
            var gotten = new List<OperatorChannel.Received>();
            for (var bytes = 0L; gotten.Count < count && bytes < MaxGottenBytes; bytes += gotten[^1].Body.Length)
            {
                await channel.HandleAsync(new BasicGet(queue, NoAck: false)).ConfigureAwait(false);
                var received = await channel.ReceiveAsync(request.Context.RequestAborted).ConfigureAwait(false);
                if (received.Method is not BasicGetOk)
                    break;
                gotten.Add(received);
            }
            foreach (var tag in gotten.Select(static item => ((BasicGetOk)item.Method).DeliveryTag))
            {
                await channel.HandleAsync(isAccepted ? new BasicAck(tag, Multiple: false)
                    : new BasicNack(tag, Multiple: false, isRequeued)).ConfigureAwait(false);
            }
            return writer => List(writer, gotten, (to, item) => WriteMessage(to, item, truncate, takesText), isObject: true);
        }
    }

    private static void WriteMessage(Utf8JsonWriter writer, OperatorChannel.Received item, int truncate, bool takesText)
    {
        var message = (BasicGetOk)item.Method;
        writer.WriteNumber("payload_bytes", item.Body.Length);
        writer.WriteBoolean("redelivered", message.Redelivered);
        writer.WriteString("exchange", message.Exchange);
        writer.WriteString("routing_key", message.RoutingKey);
        writer.WriteNumber("message_count", message.MessageCount);
        MessageJson.WriteProperties(writer, item.Properties);
        MessageJson.WriteBody(writer, item.Body.Span[..Math.Min(truncate, item.Body.Length)], takesText);
    }

    private Task<OperatorChannel> OpenChannelAsync(ManagementRequest request, string host)
    {
        var connection = request.Context.Connection;
        var remote = new IPEndPoint(connection.RemoteIpAddress ?? IPAddress.Loopback, connection.RemotePort);
        return OperatorChannel.OpenAsync(amqp, host, new AmqpClient(remote) { User = request.User.State.Name });
    }

    private static byte[]? BytesOf(string base64)
    {
        var bytes = new byte[base64.Length];
        return Convert.TryFromBase64String(base64, bytes, out var count) ? bytes[..count] : null;
    }
}
