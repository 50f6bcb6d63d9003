#include "ucx/worker.hh"

#include "ucx/message.hh"

namespace chfs::ucx {

namespace {

std::string Failure(const char* call, ucs_status_t status) {
  return std::string(call) + ": " + ucs_status_string(status);
}

// The ids that an active message can have. UCX looks a message's id up without asking whether anybody registered it:
// one that nobody did would let any process that reaches the worker call a function of its choice.
constexpr uint32_t kMessageIds = 65536;

}  // namespace

std::string Worker::Open(const Settings& settings) {
  ucp_config_t* config = nullptr;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) return Failure("ucp_config_read", status);
  std::string failure;
  for (const auto& [name, value] : settings) {
    status = ucp_config_modify(config, name.c_str(), value.c_str());
    if (status != UCS_OK) failure = Failure(name.c_str(), status);
  }
  if (failure.empty()) failure = Create(config);
  ucp_config_release(config);
  return failure;
}

std::string Worker::Create(const ucp_config_t* config) {
  ucp_params_t context{};
  context.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  context.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  context.name = "chfs";
  ucs_status_t status = ucp_init(&context, config, &context_);
  if (status != UCS_OK) return Failure("ucp_init", status);
  ucp_worker_params_t worker{};
  worker.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  worker.thread_mode = UCS_THREAD_MODE_SINGLE;
  status = ucp_worker_create(context_, &worker, &worker_);
  if (status != UCS_OK) return Failure("ucp_worker_create", status);
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  status = ucp_worker_query(worker_, &attributes);
  if (status != UCS_OK) return Failure("ucp_worker_query", status);
  // A longer header than this would abort the process when it is sent.
  if (attributes.max_am_header < kHeaderBytesMax) return "these transports carry too short headers";
  ucp_address_t* address = nullptr;
  size_t bytes = 0;
  status = ucp_worker_get_address(worker_, &address, &bytes);
  if (status != UCS_OK) return Failure("ucp_worker_get_address", status);
  const auto* first = reinterpret_cast<const std::byte*>(address);
  address_.assign(first, first + bytes);
  ucp_worker_release_address(worker_, address);
  status = ucp_worker_get_efd(worker_, &descriptor_);
  return status == UCS_OK ? "" : Failure("ucp_worker_get_efd", status);
}

void Worker::Listen(ucp_am_recv_callback_t callback, void* argument) {
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG |
                       UCP_AM_HANDLER_PARAM_FIELD_FLAGS;
  handler.cb = callback;
  handler.arg = argument;
  handler.flags = UCP_AM_FLAG_WHOLE_MSG;
  // The last one first, so that the table of handlers is allocated once.
  for (uint32_t id = kMessageIds; id > 0; id--) {
    handler.id = id - 1;
    ucp_worker_set_am_recv_handler(worker_, &handler);
  }
}

void Worker::Close() {
  if (worker_ != nullptr) ucp_worker_destroy(worker_);
  if (context_ != nullptr) ucp_cleanup(context_);
  worker_ = nullptr;
  context_ = nullptr;
}

}  // namespace chfs::ucx
